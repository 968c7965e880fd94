"""Figures of the policies on one source of demand, as measured, before any scaling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies.rivals import ORACLE

Watch = Callable[[str, int, int], None]
"""Called with what is being done, the steps done and their number; 0 of 0: no end is known."""

RIVALS = ("static_peak", "hpa", "trailing_percentile", ORACLE)
"""In the order of the tables; the oracle knows the future and is no rival to beat."""
HISTORY_DAYS = 14


@dataclass(frozen=True, slots=True)
class MonthOptions:
    """Options of the replay.

    Attributes:
        n_workloads: Workloads of the generated fleet; 0: none is replayed.
        days: Days replayed, and the days that measured traces are scaled to.
        epsilon: Promised largest share of time out of SLA.
        seed: Seed of everything random.
        step_s: Step length of the generated fleet in seconds.
        max_test_steps: Most steps counted per workload of a trace.
    """

    n_workloads: int = 24
    days: int = 30
    epsilon: float = 0.01
    seed: int = 7
    step_s: int = 300
    max_test_steps: int = 2016


@dataclass(frozen=True, slots=True, eq=False)
class MonthFigures:
    """One policy over the measured days.

    Attributes:
        gpu_hours: GPU-hours, all workloads.
        cost_usd: Their price.
        violation_rate: (W,) share of known time out of SLA; NaN where no demand was known.
        setting: How it was set, in words.
        kept_where_chosen: Whether the setting kept the promise where it was chosen; None: nothing
            was chosen.
    """

    gpu_hours: float
    cost_usd: float
    violation_rate: FloatArray
    setting: str
    kept_where_chosen: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MonthSource:
    """One source of demand under every policy.

    Attributes:
        data: Its name.
        kind: A generated fleet, or the counted part of a trace.
        n_workloads: W.
        step_s: Step length in seconds.
        days_measured: Days that the figures cover.
        mean_demand_gpus: GPUs that the mean demand would fill at the stated capacity.
        policies: Figures by name.
        assumptions: What the figures rest on.
    """

    data: str
    kind: Literal["generated", "trace"]
    n_workloads: int
    step_s: float
    days_measured: float
    mean_demand_gpus: float
    policies: Mapping[str, MonthFigures]
    assumptions: Mapping[str, Any]
