"""The planner: a dynamic programme over (step, count), vectorised over workloads.

Our own formulation. A plan n_0..n_{H-1} minimises, in replica-steps,

    sum_h n_h + multiplier * risk_h + shortage_price * shortage_h + start/stop costs

where decision h answers for the time it owns and for what it takes away
(`decider.tables.scenarios`).
The transition from a to b costs `start * (b - a)` upwards and `stop * (a - b) + drop[b] - drop[a]`
downwards, so each stage is a two-pass min-plus transform: O(H K) per workload. The programme is
exact for every plan that never stops a start before it has landed; for the others it overstates
the risk. Only the first count is applied.

Shapes: W workloads, H horizon, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from decider.tables.candidates import CandidateGrid
from decider.tables.scenarios import StageTables
from decider.types import BoolArray, FloatArray, IntArray

_LARGE = 1e6
"""Price of risk beyond those of ordinary promises."""


@dataclass(frozen=True, slots=True)
class Program:
    """A shard's planning problem.

    Attributes:
        grid: Candidates.
        stages: What each decision answers for.
        current: (W,) current spec.
        shortage_price: Replica-steps per replica-step of unserved load.
        start_cost: Replica-steps per start.
        stop_cost: Replica-steps per stop.
        worth: (W,) how much more a step out of SLA is worth, in a row's replicas, than its price of
            risk says: a pool whose replicas are cheaper than its service's others avoids it with
            more of them. None: one everywhere.
    """

    grid: CandidateGrid
    stages: StageTables
    current: IntArray
    shortage_price: float
    start_cost: float
    stop_cost: float
    worth: FloatArray | None = None

    def rows(self, some: IntArray) -> Program:
        """The problems of some workloads."""
        return replace(
            self,
            grid=self.grid.rows(some),
            stages=self.stages.rows(some),
            current=self.current[some],
            worth=None if self.worth is None else self.worth[some],
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A solved programme.

    Attributes:
        index: (W, H) planned candidate per step.
        first_value: (W, K) cost-to-go of each first action; infinite where not allowed.
        mean_risk: (W,) risk of the plan, mean over its decisions.
    """

    index: IntArray
    first_value: FloatArray
    mean_risk: FloatArray


def first_charge(program: Program) -> FloatArray:
    """(W, K) risk that each first action answers for: what it owns and what it takes away."""
    stages = program.stages
    taken = np.maximum(stages.drop_risk[:, 0] - stages.held_risk[:, None], 0.0)
    return stages.own_risk[:, 0] + taken


def within(risk: FloatArray, limit: FloatArray, is_allowed: BoolArray) -> BoolArray:
    """Candidates whose risk keeps the limit; where none does, the least risky one.

    Args:
        risk: (W, K).
        limit: (W,).
        is_allowed: (W, K).
    """
    keeps = is_allowed & (risk <= limit[:, None] + 1e-12)
    nothing = np.asarray(~keeps.any(axis=1))
    if nothing.any():
        least = np.where(is_allowed, risk, np.inf)
        best = least.min(axis=1, keepdims=True)
        keeps = np.where(nothing[:, None], is_allowed & (least <= best + 1e-12), keeps)
    return keeps


def solve(program: Program, multiplier: FloatArray, first_limit: FloatArray | None = None) -> Plan:
    """Solve the programme for given multipliers.

    Args:
        program: The problem.
        multiplier: (W,) price of risk in replica-steps per step out of SLA.
        first_limit: (W,) bound on the risk of the first action; None: none.
    """
    values, first, price = _valued(program, multiplier, first_limit)
    index = _trace(program, price, values, first)
    own, taken = _risks(program, index)
    return Plan(index, first, _row_mean(own + taken))


def first_of_plan(
    program: Program, multiplier: FloatArray, first_limit: FloatArray | None = None
) -> IntArray:
    """(W,) candidates that `solve` would choose now, without the rest of the plan."""
    _, first, price = _valued(program, multiplier, first_limit)
    return _first_of(program, price, first)


def _valued(
    program: Program, multiplier: FloatArray, first_limit: FloatArray | None
) -> tuple[list[FloatArray], FloatArray, FloatArray]:
    """Values from each boundary on, those of the first actions, and the (W,) price of risk."""
    price = multiplier if program.worth is None else multiplier * program.worth
    values = _stage_values(program, price)
    first = values[0] + _first_transition(program, price)
    if first_limit is not None:
        keeps = within(first_charge(program), first_limit, program.grid.is_allowed)
        first = np.where(keeps, first, np.inf)
    return values, first, price


def _first_of(program: Program, price: FloatArray, first: FloatArray) -> IntArray:
    counts, current = program.grid.counts.astype(float), program.current.astype(float)
    return nearest_best(first, counts, current, price)


def _stage_values(program: Program, multiplier: FloatArray) -> list[FloatArray]:
    """Z_j (W, K): cost of being at each count from boundary j on, transitions into it excluded."""
    grid, stages = program.grid, program.stages
    counts = grid.counts.astype(float)
    price, rate = multiplier[:, None], program.shortage_price
    blocked = np.where(grid.is_allowed, 0.0, np.inf)
    horizon = stages.own_risk.shape[1]
    values: list[FloatArray] = []
    after = np.zeros_like(counts)
    for j in range(horizon - 1, -1, -1):
        own = stages.own_risk[:, j]
        value = counts + price * own + rate * stages.own_shortage[:, j] + after + blocked
        values.append(value)
        if j > 0:
            after = _min_plus(program, value, _drop(program, multiplier, j))
    return values[::-1]


def _drop(program: Program, multiplier: FloatArray, j: int) -> FloatArray:
    stages = program.stages
    risk = multiplier[:, None] * stages.drop_risk[:, j]
    return np.asarray(risk + program.shortage_price * stages.drop_shortage[:, j])


def _min_plus(program: Program, value: FloatArray, drop: FloatArray) -> FloatArray:
    """For every count a: the least of `value[b]` plus the transition from a to b."""
    counts = program.grid.counts.astype(float)
    up, down = program.start_cost * counts, program.stop_cost * counts
    rising = np.minimum.accumulate((value + up)[:, ::-1], axis=1)[:, ::-1] - up
    falling = np.minimum.accumulate(value - down + drop, axis=1) + down - drop
    return np.minimum(rising, falling)


def _first_transition(program: Program, multiplier: FloatArray) -> FloatArray:
    """(W, K) cost of moving from the current spec to each candidate now."""
    stages = program.stages
    change = (program.grid.counts - program.current[:, None]).astype(float)
    move = program.start_cost * np.maximum(change, 0.0)
    move += program.stop_cost * np.maximum(-change, 0.0)
    risk = np.maximum(stages.drop_risk[:, 0] - stages.held_risk[:, None], 0.0)
    short = np.maximum(stages.drop_shortage[:, 0] - stages.held_shortage[:, None], 0.0)
    return np.asarray(move + multiplier[:, None] * risk + program.shortage_price * short)


def _trace(
    program: Program, multiplier: FloatArray, values: list[FloatArray], first: FloatArray
) -> IntArray:
    """(W, H) candidates along the best plan."""
    counts = program.grid.counts.astype(float)
    rows = np.arange(counts.shape[0])
    index = np.empty((counts.shape[0], len(values)), dtype=np.int64)
    index[:, 0] = _first_of(program, multiplier, first)
    for j in range(1, len(values)):
        at = index[:, j - 1]
        here = counts[rows, at][:, None]
        drop = _drop(program, multiplier, j)
        change = counts - here
        falling = program.stop_cost * -change + drop - drop[rows, at][:, None]
        move = np.where(change >= 0, program.start_cost * change, falling)
        index[:, j] = nearest_best(values[j] + move, counts, here[:, 0], multiplier)
    return index


def nearest_best(
    value: FloatArray, counts: FloatArray, current: FloatArray, price: FloatArray
) -> IntArray:
    """(W,) index of the least value; among equals (to rounding) the nearest to `current`.

    Args:
        value: (W, K) values.
        counts: (W, K) candidates.
        current: (W,) counts.
        price: (W,) prices of risk. Under that of a strict promise values may be so large that
            replicas would be among what is rounded.
    """
    best = value.min(axis=1, keepdims=True)
    slack = 1e-9 * (1.0 + np.abs(best)) * (_LARGE / np.maximum(price, _LARGE))[:, None]
    distance = np.where(value <= best + slack, np.abs(counts - current[:, None]), np.inf)
    return np.asarray(np.argmin(distance, axis=1), dtype=np.int64)


def _risks(program: Program, index: IntArray) -> tuple[FloatArray, FloatArray]:
    """(W, H) risk owned and risk added by drops, along a plan."""
    stages = program.stages
    own = np.take_along_axis(stages.own_risk, index[:, :, None], axis=2)[:, :, 0]
    here = np.take_along_axis(stages.drop_risk, index[:, :, None], axis=2)[:, :, 0]
    taken = np.zeros_like(own)
    taken[:, 0] = np.maximum(here[:, 0] - stages.held_risk, 0.0)
    before = np.take_along_axis(stages.drop_risk[:, 1:], index[:, :-1, None], axis=2)[:, :, 0]
    is_drop = index[:, 1:] < index[:, :-1]
    taken[:, 1:] = np.where(is_drop, here[:, 1:] - before, 0.0)
    return own, taken


def _row_mean(table: FloatArray) -> FloatArray:
    return np.asarray(np.ascontiguousarray(table).mean(axis=1))
