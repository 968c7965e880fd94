"""Small files of measurements."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.unit.simulator.fleet.traces import START


def csv(folder: Path, text: str, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def lines(stamps: list[str], values: list[float]) -> str:
    return "\n".join(f"{at},{value}" for at, value in zip(stamps, values, strict=True))


def stamps(n: int, step_s: float = 60, jitter_s: tuple[float, ...] = (0.0,)) -> list[str]:
    offsets = (k * step_s + jitter_s[k % len(jitter_s)] for k in range(n))
    return [(START + timedelta(seconds=offset)).isoformat() for offset in offsets]
