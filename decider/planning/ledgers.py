"""Two ledgers of a promise: what was measured of its requests, what the capacity makes one believe.

Both forget beyond the SLA window: a full one at the window's rate as a step joins it, and by time
where time passes of which no step is known. The budget goes by what was measured where an objective
is, and by what is believed until the first measured step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from decider.errors import require
from decider.types import RiskState, ShardRequest, Sla

BudgetSource = Literal["measured", "believed"]
MOST_STEPS = 4.0
"""Usual steps that a step of a promise of requests counts as at most."""
_LEAST_CHANCE = 1e-12
"""Of a step; nothing tells a smaller one, and what is next to nothing is no number to divide by."""


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """What is known of a promise and what is left of it: the figures of every surface.

    Attributes:
        source: What it goes by: the requests measured, or the capacity believed.
        violation_ratio: Share out of SLA within the window, by that source; None: it knows none.
        n_steps: Steps within the window that the source knows.
        left_ratio: Share of the window's violation budget that is left; below 0: overspent. None
            where prices alone decide.
        measured_ratio: Share out of SLA that was measured; None: nothing was.
        believed_ratio: Share out of SLA by the believed capacity; None: nothing is known.
    """

    source: BudgetSource
    violation_ratio: float | None
    n_steps: float
    left_ratio: float | None
    measured_ratio: float | None
    believed_ratio: float | None

    @property
    def is_exhausted(self) -> bool:
        """Nothing is left."""
        return self.left_ratio is not None and self.left_ratio <= 0.0


@dataclass(frozen=True, slots=True)
class LedgerSpan:
    """The time that the steps of a ledger lie in.

    Attributes:
        since_s: Start of the first of them, epoch seconds.
        until_s: End of the last one.
    """

    since_s: float
    until_s: float

    def kept_since(self, first_s: float) -> float:
        """Share of the ledger that is not before a time; its steps lie evenly in its time."""
        if first_s <= self.since_s:
            return 1.0
        if first_s >= self.until_s:
            return 0.0
        return (self.until_s - first_s) / (self.until_s - self.since_s)

    def since(self, first_s: float) -> LedgerSpan:
        """What is left of it from a time on."""
        return replace(self, since_s=max(self.since_s, min(first_s, self.until_s)))

    def with_step(self, start_s: float, end_s: float) -> LedgerSpan:
        """Its time with one more step; of an empty one it is the step's."""
        since_s = start_s if self.since_s >= self.until_s else min(self.since_s, start_s)
        return LedgerSpan(since_s, max(self.until_s, end_s))


@dataclass(frozen=True, slots=True)
class Spent:
    """Violation within the window by the source in force.

    Attributes:
        source: The source.
        steps: Violation in steps.
        n_steps: Steps that it is of.
    """

    source: BudgetSource
    steps: float
    n_steps: float


def error_budget(state: RiskState, sla: Sla, step_s: float) -> ErrorBudget:
    """The error budget after the steps that the memory knows."""
    sla = promise_of_steps(sla, step_s)
    spent = spent_by_source(state, sla)
    left = None
    if sla.epsilon is not None:
        left = 1.0 - spent.steps / (sla.epsilon * window_steps(sla, step_s))
    measured = None
    if sla.good_share is not None and state.measured_total > 0:
        measured = state.measured_missed / state.measured_total
    believed = state.spent_steps / state.observed_steps if state.observed_steps > 0 else None
    in_force = measured if spent.source == "measured" else believed
    return ErrorBudget(spent.source, in_force, spent.n_steps, left, measured, believed)


def spent_by_source(state: RiskState, sla: Sla) -> Spent:
    """What was measured, where an objective is; else what is believed.

    Misses in requests count as the steps that the same share of the window would be.
    """
    if sla.good_share is None or state.measured_steps <= 0:
        return Spent("believed", state.spent_steps, state.observed_steps)
    n = state.measured_steps
    missed = state.measured_missed / state.measured_total if state.measured_total > 0 else 0.0
    return Spent("measured", missed * n, n)


def window_steps(sla: Sla, step_s: float) -> float:
    """Length of the SLA window in steps, at least one."""
    return max(1.0, sla.window_s / step_s)


def promise_of_steps(sla: Sla, step_s: float) -> Sla:
    """What the promise is of each step: that is what decisions keep, since each owns one.

    None of the n steps of a window is out of SLA with a chance of `1 - epsilon` where each is with
    a chance of `1 - (1 - epsilon)^(1 / n)`, independent of the others. Steps that are out together
    break fewer windows than that. A window that is broken already is no licence: what is promised
    is the share of windows, and the next one has begun.
    """
    if sla.kind != "AnyInWindow":
        return sla
    chance = sla.epsilon
    if chance is not None:
        least = min(chance, _LEAST_CHANCE)
        chance = max(least, -math.expm1(math.log1p(-chance) / window_steps(sla, step_s)))
    return replace(sla, epsilon=chance, kind="TimeFraction", is_of_windows=True)


def promised_by_steps(request: ShardRequest) -> ShardRequest:
    """The request with what each promise is of a step."""
    if all(w.sla.kind != "AnyInWindow" for w in request.workloads):
        return request
    step_s = request.step_s
    owners = (replace(w, sla=promise_of_steps(w.sla, step_s)) for w in request.workloads)
    return replace(request, workloads=tuple(owners))


def count_believed(state: RiskState, violation_ratio: float, sla: Sla, step_s: float) -> RiskState:
    """Count a step's violation by the believed capacity; the level stays."""
    require(0.0 <= violation_ratio <= 1.0, f"violation_ratio={violation_ratio}: must be in [0, 1]")
    n = window_steps(sla, step_s)
    keep = _kept(state.observed_steps, n)
    spent = state.spent_steps * keep + violation_ratio
    observed = min(n, state.observed_steps * keep + 1.0)
    return replace(state, spent_steps=spent, observed_steps=observed)


def count_measured(
    state: RiskState, missed: float, total: float, sla: Sla, step_s: float
) -> RiskState:
    """Count what was measured of a step, once it is final; the level stays.

    Args:
        state: Memory before.
        missed: Requests that missed a goal; of a promise of time the step's violation.
        total: Requests of the step, which may be none; of a promise of time 1.
        sla: The promise.
        step_s: Step length.
    """
    require(
        0.0 <= missed <= total < math.inf, f"missed={missed} of total={total}: 0 <= missed <= total"
    )
    n = window_steps(sla, step_s)
    keep = _kept(state.measured_steps, n)
    return replace(
        state,
        measured_missed=state.measured_missed * keep + missed,
        measured_total=state.measured_total * keep + total,
        measured_steps=min(n, state.measured_steps * keep + 1.0),
    )


def forget_believed(state: RiskState, kept: float) -> RiskState:
    """Keep a share of what is believed: the rest is longer ago than the window."""
    if kept >= 1.0:
        return state
    return replace(
        state, spent_steps=state.spent_steps * kept, observed_steps=state.observed_steps * kept
    )


def forget_measured(state: RiskState, kept: float) -> RiskState:
    """Keep a share of what was measured: the rest is longer ago than the window."""
    if kept >= 1.0:
        return state
    return replace(
        state,
        measured_missed=state.measured_missed * kept,
        measured_total=state.measured_total * kept,
        measured_steps=state.measured_steps * kept,
    )


def weight_of_step(state: RiskState, total: float) -> float:
    """How much a step of a promise of requests counts: its requests over those of a usual step.

    Args:
        state: Memory with that step in its measured ledger.
        total: Requests of the step.

    Returns:
        The ratio, at most `MOST_STEPS`: one step is luck, too. One where no request is known.
    """
    if state.measured_total <= 0.0:
        return 1.0
    return min(total * state.measured_steps / state.measured_total, MOST_STEPS)


def _kept(n_known: float, n_window: float) -> float:
    """Share of a ledger that is kept as a step joins it: all until the window is full."""
    return 1.0 if n_known + 1.0 <= n_window else max(0.0, (n_window - 1.0) / n_known)
