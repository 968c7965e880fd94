"""From the promise to the risk level in use: adaptive conformal feedback and budget pacing.

With `e = epsilon`, `v_t` the violation of step t (share of the step out of SLA: measured where an
objective is, else by the believed capacity) and aim
`a <= 1`, the feedback is

    log level_{t+1} = log level_t + gain_t * w_t * (a * e * u_t - v_t) / e
    gain_t = max(gain, e / (k + e * n_t))

(adaptive conformal inference on a logarithmic scale: Gibbs and Candes 2021). `u_t` is the share of
the level that decisions took: their estimated risk over it, a mean of the last few. Counts are
whole, so a decision often has to risk less than its level, and a step that then misses less than
was promised says nothing against the forecast. Taught as if it did, the level would climb for as
long as one replica fewer is too few, and be spent at the next change of demand. After `n_t` steps
the forecast's own word is worth `k` violations, and what happened is worth the `e * n_t` that were
promised: at first the level moves as far as so few steps can tell, later by the least gain. While
it is not clipped and the steps known do not become fewer, the mean violation over T steps differs
from `a * e * mean(u)` by at most `e * (range of the log level) / (gain * T)`, whatever the demand
does. The price of risk keeps the mean of `u` from above one: it rises while decisions take more
than their level, so that mean exceeds one by at most `(range of the log price) / (multiplier_gain *
T)`, plus what its own weighting leaves (`max_risk_ratio / (USE_WEIGHT * T)`), while that price is
below its largest and the level can be kept at all.

A step of a promise of time counts as much as any other: `w_t` is one. A promise of requests is
about their sum, so a step counts by its requests: `w_t` is these over those of a usual step, at
most four (`decider.planning.ledgers.weight_of_step`), and the means above are weighed by it. Were
each step to count alike, quiet minutes without a miss would raise the level that busy ones with
many have lowered.

Where requests are counted a step says more than good or bad. So what a promise of requests leaves
unspent is spent sooner: while less than `a * e` of all requests have missed, a step below the aim
raises the level with a smaller `k`. Once they have, and downwards, it moves as above; so the mean
is above `a * e * mean(u)` by no more than that, and one step.

Where a count is short of what was wanted (its bound, a guard or a budget holds it), what it was
foretold to miss is no surprise: `u` is then all that it risks, and at once. Between four levels and
that, a violation teaches nothing; below it teaches as of four levels, so that a bound that is
lifted leaves no level behind. The statement about the mean holds above with the larger `u`, below
with the smaller.

That is a statement about the average in the long run, not a guarantee for a window. On top, a
proportional term paces the budget of the SLA window: what has been over- or underspent is worked
off over `pacing_steps`. Where windows are promised it only holds back: that nothing was broken yet
is what each of them is to end with, and nothing that is left to be spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from decider.belief.capacity import needed
from decider.config import RiskControlConfig
from decider.errors import require
from decider.planning.ledgers import (
    ErrorBudget,
    count_believed,
    error_budget,
    promise_of_steps,
    spent_by_source,
)
from decider.result import Decision
from decider.types import FloatArray, IntArray, RiskState, ShardRequest, Sla

# Weight of the newest decision in the share of the level taken: what a step's requests felt was
# decided over the last few.
USE_WEIGHT = 0.25
# Steps after which the price of risk moves by half of its first gain.
FIRST_STEPS = 10.0
MIN_LOG_MULTIPLIER = -2.0
MAX_LOG_MULTIPLIER = 12.0
"""Of ordinary promises: a strict one takes as many replicas for each level of risk as it has."""


@dataclass(frozen=True, slots=True)
class RiskLevel:
    """The level in use and the budget that it paces.

    Attributes:
        level: Risk level that the next decision may take.
        budget: The error budget of the SLA window.
    """

    level: float
    budget: ErrorBudget


def _log_bounds(epsilon: float, config: RiskControlConfig) -> tuple[float, float]:
    highest = max(min(config.max_level_ratio, config.max_level / epsilon), 1.0)
    return math.log(config.min_level_ratio), math.log(highest)


def risk_level(
    state: RiskState, sla: Sla, step_s: float, config: RiskControlConfig
) -> RiskLevel | None:
    """The level that the next decision may take; None when prices alone decide."""
    epsilon = sla.epsilon
    if epsilon is None:
        return None
    low, high = _log_bounds(epsilon, config)
    spent = spent_by_source(state, sla)
    overspent = spent.steps - config.aim_ratio * epsilon * spent.n_steps
    pace = -config.pacing_gain * overspent / (epsilon * config.pacing_steps)
    most = 0.0 if sla.is_of_windows else 0.7
    log_ratio = math.log(config.aim_ratio) + state.log_level + max(-1.0, min(most, pace))
    level = epsilon * math.exp(max(low, min(high, log_ratio)))
    return RiskLevel(level, error_budget(state, sla, step_s))


def update_risk(
    state: RiskState,
    violation_ratio: float,
    sla: Sla,
    step_s: float,
    config: RiskControlConfig,
) -> RiskState:
    """Feed one step's believed violation back, to its ledger and to the level.

    Args:
        state: Memory before.
        violation_ratio: Share of the step (time or demand) that was out of SLA, in [0, 1].
        sla: The promise.
        step_s: Step length.
        config: Settings.

    Returns:
        Memory after. Beyond the SLA window old steps are forgotten at the window's rate.
    """
    counted = count_believed(state, violation_ratio, sla, step_s)
    return teach_level(counted, violation_ratio, promise_of_steps(sla, step_s), config)


def teach_level(
    state: RiskState,
    violation_ratio: float,
    sla: Sla,
    config: RiskControlConfig,
    weight: float = 1.0,
) -> RiskState:
    """Move the level by what one step's decisions did not expect; prices alone have none.

    Args:
        state: Memory before.
        violation_ratio: Share of the step that was out of SLA, in [0, 1].
        sla: The promise.
        config: Settings.
        weight: How much the step counts of the promise, over a usual one.
    """
    require(0.0 <= violation_ratio <= 1.0, f"violation_ratio={violation_ratio}: must be in [0, 1]")
    if sla.epsilon is None:
        return state
    epsilon = sla.epsilon
    aim, spent = config.aim_ratio * epsilon, spent_by_source(state, sla)
    foretold = aim * state.level_use
    expected = min(foretold, aim * config.max_risk_ratio)
    worth, most = config.word_worth, config.max_drop * epsilon
    is_counted = sla.kind == "DemandFraction" and spent.source == "measured"
    if is_counted and violation_ratio < expected and spent.steps < aim * spent.n_steps:
        worth, most = config.unspent_word_worth, config.max_drop
    gain = min(weight * max(config.gain, epsilon / (worth + epsilon * spent.n_steps)), most)
    told = min(violation_ratio, expected) + max(0.0, violation_ratio - foretold)
    change = gain * (expected - told) / epsilon
    low, high = _log_bounds(epsilon, config)
    return replace(state, log_level=max(low, min(high, state.log_level + change)))


def next_multiplier(
    log_multiplier: float,
    estimated_risk: float,
    level: float,
    n_steps: float,
    config: RiskControlConfig,
    most_asked: float = 0.0,
) -> float:
    """Carry the price of risk to the next decision: dual ascent on the long-run mean risk.

    The least cost for a mean risk over time has one price of risk at all times. The price rises
    while decisions carry more than the level, and falls while they carry less: by the least gain,
    of pools at first by as much as so few decisions can tell (steps of stochastic approximation).

    Args:
        log_multiplier: Logarithm of the price in use.
        estimated_risk: Risk of the decision.
        level: Its level.
        n_steps: Steps of the service that are known; infinite where the price moves by the least
            gain from the start.
        config: Settings.
        most_asked: Price that keeping the level may take (`most_asked`), where it is more than an
            ordinary promise's.
    """
    first = config.first_multiplier_gain / (1.0 + n_steps / FIRST_STEPS)
    gain = max(config.multiplier_gain, first)
    moved = log_multiplier + gain * (_ratio(estimated_risk, level, config) - 1.0)
    most = max(MAX_LOG_MULTIPLIER, math.log(most_asked)) if most_asked > 0 else MAX_LOG_MULTIPLIER
    return max(MIN_LOG_MULTIPLIER, min(most, moved))


def most_asked(request: ShardRequest, top: IntArray, level: FloatArray) -> FloatArray:
    """(W,) price of risk that keeping each level may take, in replica-steps per step out of SLA.

    Where one replica more leaves a share 1 - 1/m of a risk r, a price of about m/r keeps it. m is
    no more than all the replicas that may be needed, of pools those of their service.

    Args:
        request: The shard.
        top: (W,) most replicas that may be needed.
        level: (W,) levels; infinite where prices alone decide.
    """
    replicas = top.astype(float)
    for rows in request.services().values():
        replicas[list(rows)] = replicas[list(rows)].sum()
    return np.asarray(replicas / level)


def _ratio(estimated_risk: float, level: float, config: RiskControlConfig) -> float:
    return min(estimated_risk / level, config.max_risk_ratio)


def after_decision(state: RiskState, decision: Decision, config: RiskControlConfig) -> RiskState:
    """What a decision leaves in memory: its price of risk, and how much of its level it took.

    Args:
        state: Memory before.
        decision: The decision. One that estimated no risk counts as having taken its level. Of one
            that was short all that it foretold counts, and at once.
        config: Settings.
    """
    risk, level = decision.risk_after, decision.risk_level
    taken = 1.0 if risk is None or not level else _ratio(risk, level, config)
    level_use = state.level_use + USE_WEIGHT * (taken - state.level_use)
    if decision.is_short and risk is not None and level:
        level_use = max(level_use, risk / level)
    return replace(state, log_multiplier=decision.next_log_multiplier, level_use=level_use)


def reactive_floor(last_demand: float, capacity: float, ratio: float) -> int:
    """Robust floor: replicas that hold the last observed demand times `ratio`.

    At the start of step s the decider asks for `a_s = max(p_s, f_s)`: what the planner wants, and
    the floor of `d_{s-1}`. Let the lead time be fixed and capacity known. What is ready at a moment
    is then the least count in force within the last lead time, which gives four bounds, whatever is
    forecast, as long as no guard, bound or budget cuts the count
    (tests/unit/decider/planning/test_risk_floor.py checks them exactly):

    1. A moment of step t is out of SLA only if `d_t > ratio * d_{s-1}` for some s whose count was
       in force within the last lead time: demand has outgrown the ratio since the last completed
       step before that count was asked for.
    2. Robustness: every moment out of SLA is one for the pure reactive rule, which asks for `f_s`
       alone. So total violation is at most the reactive rule's.
    3. Cost is the reactive rule's plus what the planner asks above it:
       `sum a_s = sum f_s + sum max(p_s - f_s, 0)`.
    4. Consistency: with a perfect forecast and free changes, cost is at most the oracle's plus the
       floor's excess: `sum a_s <= sum o_s + sum max(f_s - o_s, 0)`, `o_s` being the least counts
       that keep every moment, and no more is out of SLA than with those.

    With start-up times that differ from start to start, 1 holds for the longest of them; 2
    need not, since which start is slow then depends on how many came before.

    All four are proven for a known capacity with a sharp edge only. Under a response there is no
    edge to be beyond. What then holds of the floor alone: were the last demand, times `ratio`, to
    come again, then on the floor's count, over the draws, at most epsilon of the requests are
    expected to miss (a promise of requests), or the step is at least as likely good as bad (one of
    time). `capacity` is the largest load of which that is true, or the mean of the capacities that
    stand for the response where that is less (`decider.tables.soft_response.floor_loads`).
    Bound 3 stays an identity. In place of 2, the expected misses of every moment are at most the
    reactive rule's, since the count in force is at least its and more replicas miss no more.

    Of steps under 40 s the last demand is what the newest steps of a minute show beyond chance
    (`decider.planning.fallback.shown_demand`), and the bounds are about that.

    Args:
        last_demand: Newest observed demand.
        capacity: Load of one replica.
        ratio: Headroom over it; 0 switches the floor off.
    """
    if ratio <= 0:
        return 0
    return needed(last_demand * ratio, capacity)
