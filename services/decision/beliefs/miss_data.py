"""Data that responses are learned from, and whether there is enough of it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import (
    MINUTE_S,
    ROOM,
    TIME,
    FloatArray,
    FullUse,
    IntArray,
    MissDraws,
    OccupancyLaw,
    behind_a_queue,
    full_use,
    queue_steps,
    steps_across_loads,
    worth_in_force,
)
from services.decision.beliefs.ready_mix import ReadyMixes, stated_ratios
from services.decision.rows.loads import (
    NONE_FURTHER,
    Sampled,
    further_capacity,
    remeasured,
    stacked,
    values_at,
)
from services.decision.rows.members import ShardMember
from services.decision.rows.responses import judged_requests, tolerated_share
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.measured_by import MEASURED_BY, measured_by
from services.kernel.domain.pools import occupancy_indicators

MISSES = "misses"
"""Kind of the posteriors of responses, and of what groups say of one more."""
MIN_STEPS = 5
"""Measured steps from which a workload has a response of its own."""
CARRIED = "carried"
"""Where a summary has the loads that were seen to be carried."""
OCCUPANCY = "occupancy"
"""Where it has what was told by how full pools were."""
OCCUPANCY_LAWS: dict[str, OccupancyLaw] = {"Room": ROOM, "Time": TIME}
"""How the occupancy of a pool rises, by what it is the share of."""
_SAME_S = 0.5
N_RECENT = 60
"""Newest steps that say how many requests a step has."""
_LEVELS = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


@dataclass(frozen=True, slots=True)
class MissSteps:
    """Final measured steps of one workload, in time order.

    Attributes:
        steps_s: (N,) step starts, epoch seconds.
        load: (N,) demand per ready replica; with further loads (N, 1+F), all of them per replica.
        missed: (N,) requests that missed a goal, at most.
        total: (N,) requests.
        mix: (N, V) share of the stated capacity ready that was each variant's but the first; the
            loads are then per reference replica as stated. Empty: there are no variants.
        occupancy: (N, Q) share of their room that replicas had taken, of each pool that names an
            indicator of it; NaN: not known. Empty: none does.
    """

    steps_s: FloatArray
    load: FloatArray
    missed: FloatArray
    total: FloatArray
    mix: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    occupancy: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def of(
        cls,
        row: RowMapping,
        spec: WorkloadSpec,
        further: Mapping[str, Sampled] = NONE_FURTHER,
        mixes: ReadyMixes | None = None,
    ) -> MissSteps:
        """From a row of `repository.load_miss_steps`; steps with an unknown load are left out.

        Args:
            row: The row.
            spec: The workload's.
            further: Its further loads per ready replica by name; the demand among them: as it is
                measured now.
            mixes: What was ready of its variants; None: it has none.
        """
        columns = (row["steps_s"], row["load"], row["missed"], row["total"])
        steps = cls(*(np.asarray(c, dtype=np.float64) for c in columns))
        steps = replace(steps, load=remeasured((steps.steps_s, steps.load), further, spec))
        if not spec.further_loads and mixes is None:
            return steps
        load = steps.load
        if spec.further_loads:
            load = stacked((steps.steps_s, steps.load), further, spec)
        mix = steps.mix
        if mixes is not None:
            stated = mixes.at(steps.steps_s, spec)
            load, mix = (load.T * stated.factor).T, stated.mix
        known = np.flatnonzero(np.isfinite(load.reshape(steps.size, -1)).all(axis=1))
        return replace(steps, load=load, mix=mix).rows(known)

    @classmethod
    def none(cls, n_further: int = 0, n_variants: int = 0) -> MissSteps:
        """No step at all, of a workload with so many further loads and variants but the first."""
        load = np.zeros((0, 1 + n_further)) if n_further else np.zeros(0)
        return cls(np.zeros(0), load, np.zeros(0), np.zeros(0), np.zeros((0, n_variants)))

    @property
    def size(self) -> int:
        """How many steps."""
        return int(self.total.size)

    def rows(self, chosen: IntArray) -> MissSteps:
        """Some of the steps."""
        steps_s, load, missed, total = (
            c[chosen] for c in (self.steps_s, self.load, self.missed, self.total)
        )
        mix, occupancy = (c[chosen] if len(c) else c for c in (self.mix, self.occupancy))
        return MissSteps(steps_s, load, missed, total, mix, occupancy)

    def without_queues(self, waiting: Sampled | None, step_s: float) -> MissSteps:
        """Those that tell of their load, see `behind_a_queue`.

        Args:
            waiting: Starts of steps and the requests that waited in each; None: not known.
            step_s: Length of a step.
        """
        if waiting is None:
            return self
        back_s = step_s * np.arange(1.0 + queue_steps(step_s))
        at = [values_at(waiting, self.steps_s - one) for one in back_s]
        return self.rows(np.flatnonzero(~behind_a_queue(self.total, np.stack(at, axis=1))))

    def carried(self, tolerated_share: float, step_s: float) -> FloatArray:
        """(K, 1+F) mean loads per replica of minutes that kept the promise; `largest_of` them.

        A request is counted in the step that it ends in, so a minute is judged together with the
        one after it: where that is not known whole, it is not judged yet. Steps of more than a
        minute are judged by themselves. With variants nothing is said.

        Args:
            tolerated_share: Share of the requests that the promise lets miss.
            step_s: Length of a step.
        """
        load = self.load if self.load.ndim == 2 else self.load[:, None]
        n_mean = max(1, round(MINUTE_S / step_s))
        n_judged = n_mean + int(MINUTE_S // step_s)
        first = np.arange(self.size - n_judged + 1)
        if self.mix.size or not first.size:
            return np.zeros((0, load.shape[1]))
        at = first[:, None] + np.arange(n_judged)
        lasts_s = self.steps_s[at[:, -1]] - self.steps_s[first]
        missed, total = self.missed[at].sum(axis=1), self.total[at].sum(axis=1)
        is_kept = (total > 0) & (missed <= tolerated_share * total)
        is_kept &= lasts_s < (n_judged - 1) * step_s + _SAME_S
        return largest_of(load[at[is_kept, :n_mean]].mean(axis=1))

    def full_uses(self, member: ShardMember) -> dict[str, FullUse]:
        """What minutes tell of a full replica of each pool, by name; of some nothing.

        Args:
            member: The workload.
        """
        if not self.occupancy.size:
            return {}
        spec, n = member.spec, max(1, round(MINUTE_S / member.step_s))
        first = np.arange(self.size - n + 1)
        at = first[:, None] + np.arange(n)
        lasts_s = self.steps_s[at[:, -1]] - self.steps_s[first]
        at = at[lasts_s < (n - 1) * member.step_s + _SAME_S]
        loads, taken = self.load[at].mean(axis=1), self.occupancy[at].mean(axis=1)
        named = [pool for pool in spec.pools if pool.occupancy_indicator]
        laws = {}
        for column, pool in enumerate(named):
            is_own = np.isin(spec.loads, pool.loads)
            law = OCCUPANCY_LAWS[pool.occupancy_of]
            laws[pool.name] = full_use(np.where(is_own, loads, 0.0), taken[:, column], law)
        return {name: law for name, law in laws.items() if law is not None}

    def across_loads(self) -> MissSteps:
        """Those to learn from, see `steps_across_loads`."""
        return self.rows(steps_across_loads(self.load, self.mix))

    def requests_of_a_step(self, member: ShardMember) -> float:
        """Requests that the newest steps were judged by."""
        return judged_requests(self.total[-N_RECENT:], member.spec, float(member.step_s))


def largest_of(loads: FloatArray) -> FloatArray:
    """(K, 1+F) of loads (N, 1+F) those with the most of one, and of all in units of their means."""
    if not loads.size:
        return loads
    together = (loads / np.maximum(loads.mean(axis=0), 1e-300)).sum(axis=1)
    at = np.unique(np.argmax(np.column_stack([loads, together]), axis=0))
    return np.asarray(loads[at])


def lack_of_steps(member: ShardMember, steps: MissSteps | None) -> str:
    """Find what is missing for a response to be learned; empty when nothing is."""
    if member.spec.sla.objective is None:
        return "no objective is set: set sla.objective to what requests are to feel"
    n = 0 if steps is None else steps.size
    if n < MIN_STEPS:
        loads = ", ".join(["demand", *member.spec.further_loads])
        return (
            f"{n} measured steps with {loads} and ready replicas; {MIN_STEPS} are needed "
            "(condition SLIMeasured says whether the objective is measured)"
        )
    return ""


def learned_for(member: ShardMember) -> dict[str, Any]:
    """The parts of a spec that a response is learned for; of another spec, it is not used."""
    spec = member.spec
    stated: dict[str, Any] = {
        "per_replica": spec.capacity.per_replica,
        "kind": spec.sla.kind,
        MEASURED_BY: measured_by(spec, [*spec.loads, *occupancy_indicators(spec.pools)]),
    }
    if spec.further_loads:
        stated["further_per_replica"] = list(further_capacity(spec))
    by_time = [pool.name for pool in spec.pools if pool.occupancy_of == "Time"]
    if by_time:
        stated["occupancy_of_time"] = by_time
    if spec.variants:
        stated["variant_ratios"] = [_short(ratio) for ratio in stated_ratios(spec)]
    return group_of(member) | stated


def group_of(member: ShardMember) -> dict[str, Any]:
    """What workloads have in common that are learned together."""
    spec = member.spec
    objective = spec.sla.objective
    goals = [] if objective is None else objective.goals
    further: dict[str, Any] = {"further": list(spec.further_loads)} if spec.further_loads else {}
    pools = [[p.gpu_type, p.gpus_per_replica, sorted(p.loads)] for p in spec.pools]
    if pools:
        further["pools"] = pools
    if spec.variants:
        further["variants"] = [[v.gpu_type, v.gpus_per_replica] for v in spec.variants]
    return further | {
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
    if member.spec.variants:
        return _variant_summary(draws, member, steps)
    share = tolerated_share(member.spec)
    within = draws.load_within(share)
    carried = steps.carried(share, float(member.step_s))
    return {
        **_levels(within),
        **_further_summary(draws, within, member),
        **_occupancy_summary(steps, member),
        "floor": _short(float(draws.floor.mean())),
        "slope": _short(float(np.median(draws.slope))),
        "requests_per_step": _short(steps.requests_of_a_step(member)),
        CARRIED: [[_short(one) for one in loads] for loads in carried.tolist()],
        "learned_for": learned_for(member),
        "data_until_s": float(steps.steps_s[-1]),
    }


def _variant_summary(draws: MissDraws, member: ShardMember, steps: MissSteps) -> dict[str, Any]:
    """The response to the mix of the newest step, and what each variant carries over the stated."""
    spec = member.spec
    worth = worth_in_force(draws, spec.capacity.cv)
    of_mix = replace(member, spec=spec.model_copy(update={"variants": ()}))
    known = summary_of(draws.at_mix(steps.mix[-1], worth), of_mix, steps)
    others = zip(spec.variants[1:], draws.worth.T, worth, strict=True)
    variants = {v.name: _levels(column) | {"in_force": _short(w)} for v, column, w in others}
    return known | {"variants": variants, "learned_for": learned_for(member)}


def _further_summary(
    draws: MissDraws, within: FloatArray, member: ShardMember
) -> dict[str, dict[str, Any]]:
    """Of each further load what a replica bears of it alone, and the sharing exponent."""
    names = member.spec.further_loads
    if not names:
        return {}
    ratio = within / draws.capacity
    loads = {name: _levels(ratio * draws.further[:, at]) for at, name in enumerate(names)}
    return {"further": loads, "sharing": _levels(draws.sharing)}


def _occupancy_summary(steps: MissSteps, member: ShardMember) -> dict[str, Any]:
    """Of pools that show how full they are: their loads, and how much of a full replica."""
    found = {
        name: {
            "loads": [_short(one) for one in law.loads[law.loads > 0].tolist()],
            "use": _short(float(np.exp(law.log_use))),
            "sigma": _short(law.sigma),
        }
        for name, law in steps.full_uses(member).items()
    }
    return {OCCUPANCY: found} if found else {}


def _levels(draws: FloatArray) -> dict[str, float]:
    return {name: _short(float(np.quantile(draws, q))) for name, q in _LEVELS.items()}


def _short(value: float) -> float:
    return float(f"{value:.6g}")
