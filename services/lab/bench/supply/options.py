"""What a benchmark of the supply is run with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.kernel.errors import InvalidInput
from services.simulator.policies.rivals import HARMONY

HPA, HEADROOM, CRON = "hpa", "hpa_headroom", "keda_cron"
POLICIES = (HPA, HEADROOM, CRON, HARMONY)
PROMISED = 0.01
"""The promise at which node-hours are compared."""
_LEAST_STARTUP_S, _MOST_STARTUP_S = 10.0, 3600.0
_MOST_SPOT, _MOST_FAILURES, _MOST_DAYS = 1000.0, 0.9, 7.0
_QUICK_DAYS = 1.0 / 16.0


@dataclass(frozen=True, slots=True)
class SupplyOptions:
    """Options of a run.

    Attributes:
        startups_s: Medians of the time that a node takes to come; each is a run of its own.
        spot_per_day: Interruptions a day, of one node of the pool each.
        failure_share: Share of the time in which no node can be had.
        days: Days that are counted.
        seeds: Of demand and luck; each is a run of its own.
        policies: Who is run.
        data_dir: Folder of the public traces; None: real demand is the demo's alone.
        is_quick: A look whether it runs: fewer services, settings and hours, made-up demand alone.
    """

    startups_s: tuple[float, ...] = (120.0, 300.0, 600.0)
    spot_per_day: float = 5.0
    failure_share: float = 0.02
    days: float = 1.0
    seeds: tuple[int, ...] = (7,)
    policies: tuple[str, ...] = POLICIES
    data_dir: Path | None = None
    is_quick: bool = False

    def __post_init__(self) -> None:
        """Refuse what nobody can run."""
        for startup_s in self.startups_s:
            _within("--startup", startup_s, _LEAST_STARTUP_S, _MOST_STARTUP_S)
        _within("--spot", self.spot_per_day, 0.0, _MOST_SPOT)
        _within("--failures", self.failure_share, 0.0, _MOST_FAILURES)
        _within("--days", self.days, 1.0 / 24.0, _MOST_DAYS)
        _known("--policies", self.policies, POLICIES)
        if not self.startups_s or not self.seeds or not self.policies:
            raise InvalidInput("--startup, --seeds, --policies: at least one of each is needed")
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise InvalidInput(f"--data-dir={self.data_dir}: must be a folder")

    @property
    def n_services(self) -> int:
        """Services of a fleet."""
        return 3 if self.is_quick else 6

    @property
    def counted_s(self) -> float:
        """Seconds that are counted."""
        return 86_400.0 * min(self.days, _QUICK_DAYS if self.is_quick else self.days)

    @property
    def warm_up_s(self) -> float:
        """Seconds before them, in which policies see starts and nodes come; not counted."""
        return 1_800.0 if self.is_quick else 7_200.0


def _within(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidInput(f"{option}={value:g}: must be between {low:.3g} and {high:g}")


def _known(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InvalidInput(f"{option}={name}: must be of {', '.join(known)}")
