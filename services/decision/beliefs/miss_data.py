"""Data that responses are learned from, and whether there is enough of it; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray, IntArray, MissDraws, steps_across_loads
from services.decision.rows.inputs import ShardMember
from services.decision.rows.responses import judged_requests, tolerated_share

MIN_STEPS = 5
"""Measured steps from which a workload has a response of its own."""
N_RECENT = 60
"""Newest steps that say how many requests a step has."""
_LEVELS = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


@dataclass(frozen=True, slots=True)
class MissSteps:
    """Final measured steps of one workload, in time order.

    Attributes:
        steps_s: (N,) step starts, epoch seconds.
        load: (N,) demand per ready replica.
        missed: (N,) requests that missed a goal, at most.
        total: (N,) requests.
    """

    steps_s: FloatArray
    load: FloatArray
    missed: FloatArray
    total: FloatArray

    @classmethod
    def of(cls, row: RowMapping) -> MissSteps:
        """From a row of `repository.load_miss_steps`."""
        columns = (row["steps_s"], row["load"], row["missed"], row["total"])
        return cls(*(np.asarray(c, dtype=np.float64) for c in columns))

    @classmethod
    def none(cls) -> MissSteps:
        """No step at all."""
        return cls(*(np.zeros(0) for _ in range(4)))

    @property
    def size(self) -> int:
        """How many steps."""
        return int(self.load.size)

    def rows(self, chosen: IntArray) -> MissSteps:
        """Some of the steps."""
        columns = (self.steps_s, self.load, self.missed, self.total)
        return MissSteps(*(c[chosen] for c in columns))

    def across_loads(self) -> MissSteps:
        """Those to learn from, see `steps_across_loads`."""
        return self.rows(steps_across_loads(self.load))

    def requests_of_a_step(self, member: ShardMember) -> float:
        """Requests that the newest steps were judged by."""
        return judged_requests(self.total[-N_RECENT:], member.spec, float(member.step_s))


def lack_of_steps(member: ShardMember, steps: MissSteps | None) -> str:
    """Find what is missing for a response to be learned; empty when nothing is."""
    if member.spec.sla.objective is None:
        return "no objective is set: set sla.objective to what requests are to feel"
    n = 0 if steps is None else steps.size
    if n < MIN_STEPS:
        return (
            f"{n} measured steps with demand and ready replicas; {MIN_STEPS} are needed "
            "(condition SLIMeasured says whether the objective is measured)"
        )
    return ""


def learned_for(member: ShardMember) -> dict[str, Any]:
    """The parts of a spec that a response is learned for; of another spec, it is not used."""
    spec = member.spec
    stated = {"per_replica": spec.capacity.per_replica, "kind": spec.sla.kind}
    return group_of(member) | stated


def group_of(member: ShardMember) -> dict[str, Any]:
    """What workloads have in common that are learned together."""
    spec = member.spec
    objective = spec.sla.objective
    goals = [] if objective is None else objective.goals
    return {
        "demand": spec.demand,
        "gpu_type": spec.gpu_type,
        "gpus_per_replica": spec.gpus_per_replica,
        "goals": sorted([goal.metric, goal.threshold_s] for goal in goals),
        "share": None if objective is None else objective.share,
    }


def summary_of(draws: MissDraws, member: ShardMember, steps: MissSteps) -> dict[str, Any]:
    """What a stored response says in figures, and what it was learned from.

    Args:
        draws: The response.
        member: The workload.
        steps: The steps that it was learned from; at least one.
    """
    within = draws.load_within(tolerated_share(member.spec))
    loads = {name: _short(float(np.quantile(within, q))) for name, q in _LEVELS.items()}
    return {
        **loads,
        "floor": _short(float(draws.floor.mean())),
        "slope": _short(float(np.median(draws.slope))),
        "requests_per_step": _short(steps.requests_of_a_step(member)),
        "learned_for": learned_for(member),
        "data_until_s": float(steps.steps_s[-1]),
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")
