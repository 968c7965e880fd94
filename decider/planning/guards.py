"""Guards, in order, each leaving its step in the trace.

unknown replicas -> paused -> scale-in/out only -> schedules and freezes -> bounds ->
consolidation -> schedulable -> rate limits -> tolerance -> stabilisation. (Stale input is
judged first, by the fallback ladder;
the fleet's budget comes last, in `decider.budget.fleet`.) A guard moves a count towards the
current one or into the bounds, and never raises what it is meant to cap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from decider.belief.capacity import needed
from decider.result import GuardStep
from decider.tables.candidates import effective_bounds
from decider.types import DirectionRules, WorkloadInput


@dataclass(frozen=True, slots=True)
class GuardInput:
    """Input of the guards.

    Attributes:
        workload: The workload.
        now_s: Epoch seconds.
        last_demand: Newest observed demand; None if unknown or stale.
        capacity: Load of one replica.
        consolidation_ratio: Utilisation that a smaller set may be brought to.
        has_response: It is known what load does to its own requests.
        carried_load: Demand per replica that was seen to be carried; None: no limit follows.
        unseen: Why it cannot be told what fewer replicas must absorb; empty: it can.
    """

    workload: WorkloadInput
    now_s: float
    last_demand: float | None
    capacity: float
    consolidation_ratio: float
    has_response: bool = False
    carried_load: float | None = None
    unseen: str = ""

    @property
    def current(self) -> int:
        """Current spec."""
        return self.workload.replicas.spec

    @property
    def start(self) -> int:
        """Count that a change begins at: the current one, or the bound that it breaks.

        A spec that breaks its bounds jumps to them as with HPA. How far it goes from there is held
        as any other change.
        """
        low, high = effective_bounds(self.workload)
        return max(low, min(high, self.current))

    @property
    def is_learning(self) -> bool:
        """What load does to its requests is about to be known."""
        if self.has_response or self.workload.sla.good_share is None:
            return False
        is_new = self.workload.risk.observed_steps < LEARNING_STEPS
        return is_new or self.workload.is_relearning


CARRIED_RISE = 1.25
"""How much more load than any that it has carried a replica may be brought to by scaling in."""
LEARNING_STEPS = 12
"""Steps since its first decision, or since its goals or GPUs changed, within which a response is
learned if requests are measured."""
SHORT_HISTORY = "short_history"
"""Rung of a forecast that has fewer whole stretches than any forecaster needs."""

Guard = Callable[[GuardInput, int], tuple[int, str]]


def replicas_known(given: GuardInput, count: int) -> tuple[int, str]:
    """Nothing is changed from a state that was never measured."""
    if not given.workload.has_replica_state:
        return given.current, "the replicas have not been measured"
    return count, ""


def paused(given: GuardInput, count: int) -> tuple[int, str]:
    """A pause stops everything."""
    control = given.workload.control
    if control.is_paused:
        return given.current, "paused"
    until = control.paused_until_s
    if until is not None and given.now_s < until:
        return given.current, f"paused for {until - given.now_s:.0f} s more"
    return count, ""


def one_way(given: GuardInput, count: int) -> tuple[int, str]:
    """Only decreases, or only increases."""
    control = given.workload.control
    if control.scale_in_only and count > given.current:
        return given.current, "scale-in only"
    if control.scale_out_only and count < given.current:
        return given.current, "scale-out only"
    return count, ""


def schedule(given: GuardInput, count: int) -> tuple[int, str]:
    """Freezes hold the current count; a schedule's bounds apply with the bounds."""
    control = given.workload.control
    named = f" ({control.schedule})" if control.schedule else ""
    if control.freeze == "Both":
        return given.current, f"frozen{named}"
    if control.freeze == "ScaleDown" and count < given.current:
        return given.current, f"scale-down frozen{named}"
    return count, ""


def bounds(given: GuardInput, count: int) -> tuple[int, str]:
    """Minimum and maximum, the schedule's included."""
    low, high = effective_bounds(given.workload)
    if count < low:
        return low, f"min_replicas {low}"
    if count > high:
        return high, f"max_replicas {high}"
    return count, ""


def consolidation(given: GuardInput, count: int) -> tuple[int, str]:
    """A smaller set must absorb the last observed demand, and that must be known a little.

    The first steps of a service say nothing of what comes: a quiet quarter of a minute took away
    most replicas of one that was just about to be busy. And beyond the loads that replicas have
    been seen to carry a response is a guess (docs/decisions/0125). A forecast that was made without
    the newest demand says nothing of it, and what a hung server serves nothing of what comes to it
    (docs/decisions/0147).
    """
    if count >= given.start or given.consolidation_ratio == 0:
        return count, ""
    if given.workload.forecast_rung == SHORT_HISTORY:
        return given.start, "the history is too short to know what fewer replicas must absorb"
    if given.is_learning:
        return given.start, "what load does to its requests is not known yet"
    if given.unseen:
        return given.start, given.unseen
    if given.last_demand is None:
        return count, ""
    least = needed(given.last_demand, given.capacity * given.consolidation_ratio)
    detail = f"{least} replicas are needed for the last demand {given.last_demand:.4g}"
    if given.carried_load is not None:
        seen = needed(given.last_demand, CARRIED_RISE * given.carried_load)
        if seen > least:
            least = seen
            detail = (
                f"no replica has been seen to carry more than {given.carried_load:.4g}: fewer than "
                f"{least} would be brought to over {CARRIED_RISE:g} times that by the last demand "
                f"{given.last_demand:.4g}"
            )
    held = min(given.start, max(count, least))
    return held, "" if held == count else detail


def schedulable(given: GuardInput, count: int) -> tuple[int, str]:
    """Never ask for what cannot be scheduled; starts without a node are served first."""
    free = given.workload.replicas.schedulable_gpus
    if free is None or count <= given.current:
        return count, ""
    gpus = given.workload.hardware.gpus_per_replica
    fresh = max(0, free // gpus - len(given.workload.replicas.pending_age_s))
    low, _ = effective_bounds(given.workload)
    cap = max(given.current + fresh, low)
    return (cap, f"{free} GPUs can be scheduled") if count > cap else (count, "")


def _changed(given: GuardInput, period_s: float) -> tuple[int, int]:
    """Replicas added and removed within the last `period_s`."""
    recent = [n for at, n in given.workload.history.changes if at > given.now_s - period_s]
    return sum(n for n in recent if n > 0), -sum(n for n in recent if n < 0)


def rate_limit(given: GuardInput, count: int) -> tuple[int, str]:
    """HPA's `behavior` policies."""
    if count == given.start:
        return count, ""
    is_up = count > given.start
    limits = given.workload.limits
    rules = limits.scale_up if is_up else limits.scale_down
    if rules.select_policy == "Disabled":
        return given.start, f"scaling {'up' if is_up else 'down'} is disabled"
    if not rules.policies:
        return count, ""
    edge = rate_edge(given, rules, is_up=is_up)
    if is_up:
        edge = max(edge, given.start)
        return (edge, f"at most {edge} now") if count > edge else (count, "")
    edge = min(edge, given.start)
    return (edge, f"at least {edge} now") if count < edge else (count, "")


def rate_edge(given: GuardInput, rules: DirectionRules, *, is_up: bool) -> int:
    """Furthest count that the selected policy allows."""
    edges = []
    for policy in rules.policies:
        added, removed = _changed(given, policy.period_s)
        start = given.start - added + removed
        if policy.kind == "Pods":
            edges.append(start + policy.value if is_up else start - policy.value)
        elif is_up:
            edges.append(math.ceil(start * (1.0 + policy.value / 100.0) - 1e-9))
        else:
            edges.append(math.floor(start * (1.0 - policy.value / 100.0) + 1e-9))
    largest_change = rules.select_policy == "Max"
    return max(edges) if is_up == largest_change else min(edges)


def tolerance(given: GuardInput, count: int) -> tuple[int, str]:
    """Changes within the tolerance are not worth a move."""
    if count == given.start or given.start == 0:
        return count, ""
    limits = given.workload.limits
    allowed = (limits.scale_up if count > given.start else limits.scale_down).tolerance
    change = abs(count - given.start) / given.start
    if allowed > 0 and change <= allowed:
        return given.start, f"change {change:.3f} is within the tolerance {allowed:g}"
    return count, ""


def stabilisation(given: GuardInput, count: int) -> tuple[int, str]:
    """HPA's stabilisation windows over earlier recommendations."""
    if count == given.start:
        return count, ""
    limits = given.workload.limits
    is_up = count > given.start
    window_s = (limits.scale_up if is_up else limits.scale_down).stabilization_window_s
    if window_s <= 0:
        return count, ""
    earlier = [n for at, n in given.workload.history.recommendations if at > given.now_s - window_s]
    if is_up:
        held = max(given.start, min([count, *earlier]))
    else:
        held = min(given.start, max([count, *earlier]))
    return held, "" if held == count else f"recommendations of the last {window_s:.0f} s"


ORDER: tuple[tuple[str, Guard], ...] = (
    ("replicas_known", replicas_known),
    ("paused", paused),
    ("one_way", one_way),
    ("schedule", schedule),
    ("bounds", bounds),
    ("consolidation", consolidation),
    ("schedulable", schedulable),
    ("rate_limit", rate_limit),
    ("tolerance", tolerance),
    ("stabilisation", stabilisation),
)


def apply_guards(given: GuardInput, raw: int) -> tuple[int, tuple[GuardStep, ...]]:
    """Pass a raw count through the guards.

    Returns:
        The count and the trace. An unknown state, a pause or a full freeze ends the passage at
        once: it outranks the bounds too.
    """
    count, trace = raw, []
    for name, guard in ORDER:
        after, detail = guard(given, count)
        trace.append(GuardStep(name, count, after, detail))
        count = after
        if name in ("replicas_known", "paused") and detail:
            break
        if name == "schedule" and given.workload.control.freeze == "Both":
            break
    return count, tuple(trace)
