"""Memory is looked at exactly while it grows, and only then."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import pytest

from services.lab.demo.memory import MemoryMeter


@dataclass
class Resident:
    """What a process says of its memory."""

    rss: int


class Growing(psutil.Process):
    """This process, as if it had the memory that it is told."""

    rss = 0

    def memory_info(self) -> Resident:
        return Resident(self.rss)


def test_the_exact_look_follows_growth_and_nothing_else() -> None:
    looks: list[Sequence[int]] = []

    def exact(pids: Sequence[int]) -> float:
        looks.append(pids)
        return float(len(looks))

    meter, process = MemoryMeter(exact), Growing()
    for rss in (100, 100, 90, 100.5, 200, 150, 201, 300):
        process.rss = rss
        meter.look([process])
    assert looks == [[os.getpid()]] * 3  # at 100, 200 and 300
    assert meter.peak_gib == 3.0


def test_a_process_that_has_ended_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: psutil.Process) -> None:
        raise psutil.NoSuchProcess(1)

    meter, process = MemoryMeter(lambda _: 1.0), Growing()
    monkeypatch.setattr(Growing, "memory_info", gone)
    meter.look([process])
    assert meter.peak_gib == 0.0


def test_what_this_process_holds_is_in_the_peak() -> None:
    meter = MemoryMeter()
    meter.look([psutil.Process()])
    assert 0.01 < meter.peak_gib < 64
