"""Reason and binding constraint that a decision is recorded with."""

from __future__ import annotations

from dataclasses import dataclass

from decider.planning import fallback
from decider.result import GuardStep, Reason
from decider.tables.candidates import effective_bounds
from decider.types import WorkloadInput

UNREADABLE = "the budget cannot be read"


@dataclass(frozen=True, slots=True)
class HeldMix:
    """The cheapest mix that keeps a promise though some of its replicas are on spot nodes.

    Attributes:
        counts: Replicas of each variant.
        replicas: Whole reference replicas that they are.
        allowed: Most risk that a mix may have, interruptions included.
        is_feasible: Some mix keeps the risk level.
    """

    counts: tuple[int, ...]
    replicas: int
    allowed: float
    is_feasible: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A workload's count on its way to a decision.

    Attributes:
        raw: Count before the guards.
        cause: What `raw` rests on: `risk`, `price`, `reactive_floor`, or a ladder rung.
        guarded: Count after the guards.
        trace: The guards' trace.
        is_feasible: Some allowed count keeps the risk level.
        model: Count that a forecast asked for that is not trusted; None elsewhere.
        model_held: Replicas of it that spot nodes' interruptions alone ask for.
        quiet: Count before the guards, were nothing waiting; None where nothing is.
        unlost: The same, were no spot node interrupted; None where no replica is on one.
        mix: What is wanted of its variants, where some are on spot nodes; None elsewhere.
    """

    raw: int
    cause: str
    guarded: int
    trace: tuple[GuardStep, ...]
    is_feasible: bool = True
    model: int | None = None
    quiet: int | None = None
    unlost: int | None = None
    model_held: int = 0
    mix: HeldMix | None = None

    @property
    def promised_mix(self) -> HeldMix | None:
        """The mix, where it is the planner that decides; None elsewhere."""
        return None if self.unlost is None else self.mix

    @property
    def unlost_guarded(self) -> int:
        """Count after the guards, were no spot node interrupted: what a mix must be worth.

        What is held for interruptions is up to the mix. Where the guards ask for more than the plan
        did, that is what is asked for.
        """
        if self.promised_mix is None or self.unlost is None or self.guarded > self.raw:
            return self.guarded
        return min(self.guarded, self.unlost)


@dataclass(frozen=True, slots=True)
class Grant:
    """One workload's count after the fleet's budget.

    Attributes:
        final: Count granted.
        cap: The same where the budget cut the count; None where it did not matter.
        price: Shadow price in USD per GPU-hour.
        detail: In words.
        demand: (Q,) counts that would be taken at `decider.budget.fleet.PRICES`; empty without a
            budget.
        is_enough: Fewer than was asked for would be no cut: of another mix less can be lost.
    """

    final: int
    cap: int | None = None
    price: float = 0.0
    detail: str = ""
    demand: tuple[int, ...] = ()
    is_enough: bool = False


_HOLDS = {
    "one_way": Reason.HOLD_SCALE_IN_ONLY,
    "schedule": Reason.HOLD_FREEZE,
    "bounds": Reason.HOLD_BOUNDS,
    "consolidation": Reason.HOLD_CONSOLIDATION,
    "schedulable": Reason.HOLD_NOT_SCHEDULABLE,
    "rate_limit": Reason.HOLD_RATE_LIMIT,
    "tolerance": Reason.HOLD_TOLERANCE,
    "stabilisation": Reason.HOLD_STABILISATION,
}


def name_reason(workload: WorkloadInput, draft: Draft, grant: Grant) -> tuple[Reason, str]:
    """The reason and the binding constraint of a drafted and granted count."""
    current = workload.replicas.spec
    moved = [s for s in draft.trace if s.detail and s.before != s.after]
    last = moved[-1].guard if moved else ""
    if not workload.has_replica_state:
        return Reason.HOLD_UNKNOWN_REPLICAS, "replicas_known"
    stopped = next((s for s in draft.trace if s.guard == "paused" and s.detail), None)
    if stopped is not None:
        timed = stopped.detail.startswith("paused for")
        return (Reason.HOLD_PAUSED_UNTIL if timed else Reason.HOLD_PAUSED), "paused"
    if grant.final < draft.guarded and not grant.is_enough:
        return _budget_reason(current, draft, grant), "gpu_budget"
    if grant.final == current:
        return _hold_reason(workload, draft, last)
    is_up = grant.final > current
    low, high = effective_bounds(workload)
    if current < low == grant.final:
        return Reason.SCALE_UP_BOUNDS, "min_replicas"
    if current > high == grant.final:
        return Reason.SCALE_DOWN_BOUNDS, "max_replicas"
    binding = last or _edge(draft, grant.final, low, high) or draft.cause
    if is_up:
        return _rise(draft), binding
    if draft.cause in (fallback.TRAILING, fallback.REACTIVE, fallback.STATIC):
        return Reason.SCALE_DOWN_FALLBACK, binding
    return Reason.SCALE_DOWN_RISK_ALLOWS, binding


def truthful(reason: Reason, draft: Draft) -> Reason:
    """The reason, but that no fall is allowed by a risk that no count keeps."""
    is_allowed = reason != Reason.SCALE_DOWN_RISK_ALLOWS or draft.is_feasible
    return reason if is_allowed else Reason.SCALE_DOWN_NOTHING_KEEPS


def _rise(draft: Draft) -> Reason:
    """Why a count rises, by what it rests on."""
    if draft.cause in (fallback.TRAILING, fallback.REACTIVE, fallback.STATIC):
        return Reason.SCALE_UP_FALLBACK
    floor = draft.cause == "reactive_floor"
    return Reason.SCALE_UP_REACTIVE_FLOOR if floor else Reason.SCALE_UP_RISK


def _edge(draft: Draft, final: int, low: int, high: int) -> str:
    """The bound that kept the planner from going further; empty if none did."""
    if final == high and not draft.is_feasible:
        return "max_replicas"
    return "min_replicas" if final == low and draft.is_feasible else ""


def _budget_reason(current: int, draft: Draft, grant: Grant) -> Reason:
    if grant.detail == UNREADABLE:
        return Reason.HOLD_BUDGET_UNREADABLE
    if grant.final < current:
        return Reason.SCALE_DOWN_GPU_BUDGET
    return Reason.HOLD_GPU_BUDGET if grant.final == current else _rise(draft)


def _hold_reason(workload: WorkloadInput, draft: Draft, last: str) -> tuple[Reason, str]:
    if last and draft.raw != workload.replicas.spec:
        if last == "one_way" and workload.control.scale_out_only:
            return Reason.HOLD_SCALE_OUT_ONLY, last
        return _HOLDS[last], last
    if draft.cause in (fallback.HOLD, fallback.HOLD_IF_HIGHER):
        return Reason.HOLD_STALE_FORECAST, draft.cause
    if draft.cause in (fallback.TRAILING, fallback.REACTIVE, fallback.STATIC):
        return Reason.HOLD_FALLBACK, draft.cause
    if not draft.is_feasible and draft.raw >= effective_bounds(workload)[1]:
        return Reason.HOLD_MAX_REPLICAS, "max_replicas"
    return Reason.HOLD_WITHIN_RISK, ""
