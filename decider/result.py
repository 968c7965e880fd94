"""A decision: the counts, why, and what it promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from decider.fleet_types import FleetVerdict
from decider.variant_types import MixRecord


class Direction(StrEnum):
    """Direction of the final count from the current one."""

    UP = "up"
    DOWN = "down"
    HOLD = "hold"


class Reason(StrEnum):
    """Why the final count is what it is: one word for people and dashboards."""

    SCALE_UP_RISK = "scale_up_risk"
    SCALE_UP_REACTIVE_FLOOR = "scale_up_reactive_floor"
    SCALE_UP_FALLBACK = "scale_up_fallback"
    SCALE_UP_BOUNDS = "scale_up_bounds"
    SCALE_DOWN_RISK_ALLOWS = "scale_down_risk_allows"
    SCALE_DOWN_NOTHING_KEEPS = "scale_down_nothing_keeps"
    SCALE_DOWN_FALLBACK = "scale_down_fallback"
    SCALE_DOWN_BOUNDS = "scale_down_bounds"
    SCALE_DOWN_GPU_BUDGET = "scale_down_gpu_budget"
    HOLD_WITHIN_RISK = "hold_within_risk"
    HOLD_FALLBACK = "hold_fallback"
    HOLD_STALE_FORECAST = "hold_stale_forecast"
    HOLD_UNKNOWN_REPLICAS = "hold_unknown_replicas"
    HOLD_PAUSED = "hold_paused"
    HOLD_PAUSED_UNTIL = "hold_paused_until"
    HOLD_SCALE_IN_ONLY = "hold_scale_in_only"
    HOLD_SCALE_OUT_ONLY = "hold_scale_out_only"
    HOLD_FREEZE = "hold_freeze"
    HOLD_MAX_REPLICAS = "hold_max_replicas"
    HOLD_BOUNDS = "hold_bounds"
    HOLD_CONSOLIDATION = "hold_consolidation"
    HOLD_NOT_SCHEDULABLE = "hold_not_schedulable"
    HOLD_RATE_LIMIT = "hold_rate_limit"
    HOLD_TOLERANCE = "hold_tolerance"
    HOLD_STABILISATION = "hold_stabilisation"
    HOLD_GPU_BUDGET = "hold_gpu_budget"
    HOLD_BUDGET_UNREADABLE = "hold_budget_unreadable"
    REBALANCE_VARIANTS = "rebalance_variants"


@dataclass(frozen=True, slots=True)
class GuardStep:
    """One guard's effect.

    Attributes:
        guard: Name of the guard.
        before: Count it was given.
        after: Count it passed on.
        detail: What it saw, in words; empty when it changed nothing.
    """

    guard: str
    before: int
    after: int
    detail: str = ""


_TOLD_FROM = 0.0005
"""A smaller share that misses at any count is not told in words."""


def _percent(share: float) -> str:
    percent = 100.0 * share
    return f"{percent:.0f} %" if percent >= 10.0 else f"{percent:.2g} %"


@dataclass(frozen=True, slots=True)
class ExpectedMisses:
    """What counts are expected to miss at the step that a decision is made for.

    Without what no number of replicas cures.

    Attributes:
        of: What the shares are of: `requests`, which miss a goal, or `minutes`, which are bad.
        by_replicas: Expected share by count, in ascending order of counts.
        floor: Share of the requests that is expected to miss beside these, whatever the count;
            0 of minutes.
    """

    of: Literal["requests", "minutes"]
    by_replicas: Mapping[int, float]
    floor: float = 0.0

    def words(self, replicas: int) -> str:
        """The share of one of the counts, in words."""
        ending = "would miss" if self.of == "requests" else "would be bad"
        told = f"{replicas} replicas: {_percent(self.by_replicas[replicas])} of {self.of} {ending}"
        if self.floor < _TOLD_FROM:
            return told
        return f"{told}, and {_percent(self.floor)} at any count"


@dataclass(frozen=True, slots=True)
class QueueNote:
    """What waited when the decision was made.

    Attributes:
        requests: Requests that waited; 0: only their load is known.
        load: That load, in demand of one step.
    """

    requests: float
    load: float

    def words(self) -> str:
        """The queue in words."""
        if self.requests > 0:
            figure = f"{self.requests:.0f}" if self.requests >= 10.0 else f"{self.requests:.2g}"
            return f"{figure} requests waiting"
        return f"a load of {self.load:.3g} waiting"


@dataclass(frozen=True, slots=True)
class SpotNote:
    """Replicas on spot nodes when the decision was made, and what is held for them.

    Attributes:
        replicas: Replicas that serve on spot nodes.
        ready: All that serve.
        nodes: Spot nodes that they are on.
        hours_between: Hours from one interruption of these nodes to the next, as believed.
        held: Replicas that are asked for because nodes may be interrupted.
    """

    replicas: int
    ready: int
    nodes: int
    hours_between: float
    held: int

    def words(self, name: str = "replicas") -> str:
        """Where they run and what that costs, in words; `name`: what they are called."""
        each, more = hours_words(self.hours_between), held_words(self.held)
        return (
            f"of {self.ready} {name} {self.replicas} run on spot nodes, of which one goes about "
            f"each {each}: {more}"
        )


def hours_words(hours: float) -> str:
    """Hours, or minutes where they are few."""
    figure = f"{hours:.0f}" if hours >= 10.0 else f"{hours:.2g}"
    return f"{figure} h" if hours >= 1.0 else f"{60.0 * hours:.0f} min"


def held_words(held: int) -> str:
    """How many are asked for because spot nodes may be interrupted."""
    return f"{held or 'no'} more {'is' if held == 1 else 'are'} held"


@dataclass(frozen=True, slots=True)
class ReachNote:
    """How far a decision looked, where starts may take longer than its forecast reaches.

    Attributes:
        steps: Steps that it looked ahead.
        forecast_steps: Those that were forecast; beyond them the paths go on as the demand did.
        wanted_steps: Steps until 99 % of the starts have landed.
    """

    steps: int
    forecast_steps: int
    wanted_steps: int

    def words(self) -> str:
        """The reach in words."""
        found = f"looks {self.steps} steps ahead, {self.forecast_steps} of them forecast"
        if self.wanted_steps <= self.steps:
            return found
        return f"{found}, where starts may take {self.wanted_steps}"


@dataclass(frozen=True, slots=True)
class PoolCount:
    """What one pool of a service was decided.

    Attributes:
        name: The pool.
        replicas: Its count.
        loads: The service's loads that fall on it.
        verdict: What the fleet's budget left of the count; None where it did not matter.
    """

    name: str
    replicas: int
    loads: tuple[int, ...]
    verdict: FleetVerdict | None = None


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """A pool's place, and the counts of all pools that keep its promise together.

    Attributes:
        service: The service.
        name: The pool that the decision is about.
        counts: Of every pool, in the order of the request.
    """

    service: str
    name: str
    counts: tuple[PoolCount, ...]

    def words(self) -> str:
        """What it stands beside, in words."""
        others = [f"{c.name} {c.replicas}" for c in self.counts if c.name != self.name]
        return f"pool {self.name} beside {', '.join(others)}"

    def of_load(self, load: int) -> str:
        """Name of the pool that a load of the service falls on."""
        return next(c.name for c in self.counts if load in c.loads)


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about one workload.

    Attributes:
        workload: Name or id from the request.
        current: Spec before.
        raw: Count wanted before the guards.
        final: Count decided.
        direction: Up, down or hold.
        reason: Why.
        binding_constraint: What kept the count from being smaller (up) or what cut it; empty:
            nothing but the objective.
        rung: Rung of the ladder that gave `raw`.
        guard_trace: Every guard in order.
        risk_target: The promise (epsilon); None when prices alone decide.
        risk_level: Level in use after pacing and feedback.
        risk_before: Estimated risk if the current count is kept, a share of a step; None without a
            forecast.
        risk_after: The same of the final count.
        log_multiplier: Logarithm of the price of risk in use; None where there is none.
        next_log_multiplier: The same, to be carried to the next decision.
        risk_committed: Estimated violation before anything decided now can land, in steps.
        is_budget_exhausted: The SLA window's violation budget is spent.
        cost_delta_usd_per_hour: Final against current.
        plan: (H,) planned counts; only the first is applied.
        quantiles: Demand quantiles at the step that the decision is made for, by level; of several
            loads those of the equivalent demand. What waits by then is part of it.
        counterfactuals: Counts under other circumstances, by name; `nothing_waiting` where
            something is.
        shadow_price_usd_per_gpu_hour: Price of the GPU budget, 0 when it does not bind.
        fleet_cap: Count that the fleet's allocation allowed; None when it did not matter.
        valid_until_s: After this the decision must not be applied.
        budget_demand: (Q,) counts that would be taken at `decider.budget.fleet.PRICES`, for the
            rest of the fleet; empty without a GPU budget.
        model_replicas: Count that the forecast asked for where its model is not trusted and a rung
            below answered; None elsewhere, where `raw` is that count or there is no forecast.
        model_held: Replicas of that count which spot nodes' interruptions alone ask for.
        mix: Counts of its variants, whose capacity is `final`; None: it has none.
        expected_misses: What some counts are expected to miss; None: no response is known, or
            there is no forecast.
        bound_by: (1+F,) share of what `final` is expected to miss that falls to each load: to that
            which takes the largest share of its own capacity. In the order of the loads; sums to 1.
            Empty: the demand alone binds it, or there is no forecast.
        queue: What waits; None: nothing, or no response is known.
        reach: How far it looked; None: its forecast reaches as far as starts take, or it was not
            planned.
        spot: Replicas on spot nodes; None: there are none, or it was not planned.
        pools: The pools of its service. Risks, the price of risk, what is expected to be missed and
            what binds are then those of the service. None: it has none.
        is_short: More was wanted than was granted, or than its bounds allow; of its own pool, or of
            another of its service.
    """

    workload: str
    current: int
    raw: int
    final: int
    direction: Direction
    reason: Reason
    binding_constraint: str
    rung: str
    guard_trace: tuple[GuardStep, ...]
    risk_target: float | None
    risk_level: float | None
    risk_before: float | None
    risk_after: float | None
    risk_committed: float | None
    log_multiplier: float | None
    next_log_multiplier: float | None
    is_budget_exhausted: bool
    cost_delta_usd_per_hour: float
    plan: tuple[int, ...]
    quantiles: Mapping[str, float]
    counterfactuals: Mapping[str, int]
    shadow_price_usd_per_gpu_hour: float
    fleet_cap: int | None
    valid_until_s: float
    budget_demand: tuple[int, ...] = ()
    model_replicas: int | None = None
    model_held: int = 0
    mix: MixRecord | None = None
    expected_misses: ExpectedMisses | None = None
    bound_by: tuple[float, ...] = ()
    queue: QueueNote | None = None
    reach: ReachNote | None = None
    pools: PoolRecord | None = None
    spot: SpotNote | None = None
    is_short: bool = False
