"""Feedback, pacing, exhaustion and the carried price of risk."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import RiskControlConfig, RiskState, Sla, promise_of_steps
from decider.belief.capacity import MOST_NEEDED
from decider.errors import InvalidRequest
from decider.planning.ledgers import count_believed, count_measured
from decider.planning.risk import (
    MAX_LOG_MULTIPLIER,
    USE_WEIGHT,
    after_decision,
    next_multiplier,
    reactive_floor,
    risk_level,
    teach_level,
    update_risk,
)
from decider.types import RiskKind

STEP_S = 300.0
SLA = Sla(0.01)
CONFIG = RiskControlConfig()


def fed(violations: list[float], sla: Sla = SLA, config: RiskControlConfig = CONFIG) -> RiskState:
    state = RiskState()
    for violation in violations:
        state = update_risk(state, violation, sla, STEP_S, config)
    return state


def level(state: RiskState, sla: Sla = SLA, config: RiskControlConfig = CONFIG) -> float:
    found = risk_level(state, sla, STEP_S, config)
    assert found is not None
    return found.level


def test_the_first_level_is_the_aim() -> None:
    assert level(RiskState()) == pytest.approx(CONFIG.aim_ratio * 0.01)


def test_prices_alone_have_no_level() -> None:
    assert risk_level(RiskState(), Sla(None), STEP_S, CONFIG) is None


def test_violations_lower_the_level_and_calm_raises_it() -> None:
    calm, rough = fed([0.0] * 200), fed([0.0] * 199 + [1.0])
    assert level(calm) > level(RiskState())
    assert level(rough) < level(calm)


@given(st.lists(st.floats(0, 1), min_size=200, max_size=400), st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=40, deadline=None)
def test_the_stated_bound_on_the_mean_violation(violations: list[float], epsilon: float) -> None:
    """While unclipped, the mean differs from the aim by at most e * range / (gain * T)."""
    config = replace(CONFIG, gain=1e-4, min_level_ratio=1e-9, max_level=0.99, max_level_ratio=1e9)
    sla = Sla(epsilon)
    path = [RiskState()]
    for violation in violations:
        path.append(update_risk(path[-1], violation, sla, STEP_S, config))
    logs = [s.log_level for s in path]
    gap = abs(np.mean(violations) - config.aim_ratio * epsilon)
    reach = max(logs) - min(logs)
    assert gap <= epsilon * reach / (config.gain * len(violations)) + 1e-9


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 4)), min_size=200, max_size=400),
    st.sampled_from([0.01, 0.05, 0.2]),
)
@settings(max_examples=40, deadline=None)
def test_the_stated_bound_holds_of_steps_weighed_by_their_requests(
    steps: list[tuple[float, float]], epsilon: float
) -> None:
    config = replace(
        CONFIG, gain=1e-4, max_drop=1e9, min_level_ratio=1e-9, max_level=0.99, max_level_ratio=1e9
    )
    sla, path = Sla(epsilon, "DemandFraction"), [RiskState()]
    for violation, weight in steps:
        counted = count_believed(path[-1], violation, sla, STEP_S)
        path.append(teach_level(counted, violation, sla, config, weight))
    logs, weights = [s.log_level for s in path], [weight for _, weight in steps]
    behind = sum(w * (v - config.aim_ratio * epsilon) for v, w in steps)
    assert abs(behind) <= epsilon * (max(logs) - min(logs)) / config.gain + 1e-9 * sum(weights)


def test_a_busy_step_teaches_by_its_requests_and_one_bad_one_is_not_ruin() -> None:
    """Three times the requests teach three times as much; one step that missed all, no more."""
    state = RiskState(measured_missed=1e3, measured_total=1e5, measured_steps=1e3)
    moves = [
        teach_level(state, 0.005, REQUESTS, CONFIG, weight).log_level for weight in (0.5, 1.0, 3.0)
    ]
    assert moves[0] == pytest.approx(0.5 * moves[1])
    assert moves[2] == pytest.approx(3.0 * moves[1])
    young = RiskState(measured_missed=1.0, measured_total=100.0, measured_steps=1.0)
    drops = [-teach_level(young, 1.0, REQUESTS, CONFIG, weight).log_level for weight in (1.0, 4.0)]
    assert drops[0] < drops[1] <= CONFIG.max_drop


def test_feedback_meets_the_promise_when_the_model_is_wrong() -> None:
    """A forecaster whose stated risk is a third of the truth still keeps the promise on average."""
    rng = np.random.default_rng(0)
    config = replace(CONFIG, gain=0.01)
    state, violations = RiskState(), []
    sla = Sla(0.05)
    for _ in range(8000):
        truth = min(1.0, 3.0 * level(state, sla, config))
        violations.append(float(rng.random() < truth))
        state = update_risk(state, violations[-1], sla, STEP_S, config)
    assert np.mean(violations) == pytest.approx(0.95 * 0.05, abs=0.006)


def wary_levels(config: RiskControlConfig, n_steps: int) -> list[float]:
    """Ratios of the level in use to the aim, where stated risk is two and a half times the true."""
    state, found = RiskState(), []
    for _ in range(n_steps):
        found.append(level(state, config=config) / (config.aim_ratio * SLA.epsilon))
        state = update_risk(state, 0.4 * level(state, config=config), SLA, STEP_S, config)
    return found


def test_a_forecast_that_is_too_wary_is_found_out_in_as_few_steps_as_can_tell() -> None:
    """Where 2.5 times the level would do, half of the way is gone when six violations were due."""
    assert wary_levels(CONFIG, 600)[-1] > 1.55
    never = replace(CONFIG, word_worth=math.inf)
    assert wary_levels(never, 600)[-1] < 1.35


REQUESTS = Sla(0.01, "DemandFraction", good_share=0.99)


def measured(state: RiskState, violation: float, sla: Sla, config: RiskControlConfig) -> RiskState:
    """Memory after a step of a thousand requests."""
    counted = count_measured(state, 1e3 * violation, 1e3, sla, STEP_S)
    return teach_level(counted, violation, sla, config)


def test_what_requests_left_unspent_is_spent_as_soon_as_it_was_counted() -> None:
    """Where 2.5 times the level would do, a fifth of the way is gone before one step's worth of
    violations was due; a promise of time goes as slowly as before."""
    found = {}
    for sla in (REQUESTS, replace(REQUESTS, kind="TimeFraction")):
        state = RiskState()
        for _ in range(80):
            state = measured(state, 0.4 * level(state, sla), sla, CONFIG)
        found[sla.kind] = level(state, sla) / (CONFIG.aim_ratio * sla.epsilon)
    assert found["DemandFraction"] > 1.3
    assert found["TimeFraction"] < 1.15


def test_downwards_and_once_the_promise_is_spent_the_level_goes_as_slowly_as_it_did() -> None:
    slow = replace(CONFIG, unspent_word_worth=CONFIG.word_worth)
    spent = RiskState(measured_missed=60.0, measured_total=4e3, measured_steps=4.0)
    unspent = replace(spent, measured_missed=0.0)
    for state, violation in ((spent, 0.0), (spent, 0.5), (unspent, 0.5)):
        assert measured(state, violation, REQUESTS, CONFIG) == measured(
            state, violation, REQUESTS, slow
        )
    quick, slowly = (measured(unspent, 0.0, REQUESTS, c).log_level for c in (CONFIG, slow))
    assert quick > 4.0 * slowly > 0.0


@given(st.lists(st.floats(0, 1), min_size=100, max_size=300), st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=60, deadline=None)
def test_what_is_spent_sooner_breaks_the_promise_by_no_more(
    violations: list[float], epsilon: float
) -> None:
    """While unclipped, above the aim by at most e * range / (gain * T), and one step."""
    config = replace(
        CONFIG, gain=1e-3, max_drop=1e9, min_level_ratio=1e-9, max_level=0.99, max_level_ratio=1e9
    )
    sla = Sla(epsilon, "DemandFraction", good_share=0.9)
    path = [RiskState()]
    for violation in violations:
        path.append(measured(path[-1], violation, sla, config))
    logs = [s.log_level for s in path]
    above = float(np.mean(violations)) - config.aim_ratio * epsilon
    reach = max(logs) - min(logs)
    n_steps = len(violations)
    assert above <= epsilon * reach / (config.gain * n_steps) + 1.0 / n_steps + 1e-9


@pytest.mark.parametrize("epsilon", [0.01, 0.1])
def test_the_first_violation_lowers_the_level_by_what_the_forecasts_word_is_worth(
    epsilon: float,
) -> None:
    """Later ones count less, down to the least gain, and none more than the largest drop."""
    sla = Sla(epsilon)
    first = teach_level(RiskState(), 1.0, sla, CONFIG).log_level
    assert first == pytest.approx(-(1 - 0.97 * epsilon) / CONFIG.word_worth)
    known = RiskState(observed_steps=10_000.0 / epsilon)
    later = teach_level(known, 1.0, sla, CONFIG).log_level
    assert later == pytest.approx(CONFIG.gain * (0.97 * epsilon - 1.0) / epsilon)
    least = replace(CONFIG, word_worth=1.0)
    assert teach_level(RiskState(), 1.0, sla, least).log_level >= -CONFIG.max_drop


def test_an_exhausted_budget_is_said_and_paced_at_a_lower_level() -> None:
    sla = Sla(0.01, window_s=1000 * STEP_S)  # a budget of 10 steps
    state = fed([1.0] * 10, sla)
    found = risk_level(state, sla, STEP_S, CONFIG)
    assert found is not None
    assert found.budget.is_exhausted
    assert found.budget.left_ratio == pytest.approx(0.0)
    assert found.level < 0.5 * 0.01


def test_pacing_works_off_what_was_overspent() -> None:
    even = RiskState(0.0, 2.88 * CONFIG.aim_ratio, 288.0)
    over = replace(even, spent_steps=6.0)
    under = replace(even, spent_steps=0.0)
    assert level(over) < level(even) < level(under)


def test_pacing_goes_by_what_was_measured_once_something_was() -> None:
    """A capacity believed too high hides what requests felt; without an objective none is read."""
    believed = RiskState(0.0, 2.88 * CONFIG.aim_ratio, 288.0)
    worse = replace(believed, measured_missed=6.0, measured_total=288.0, measured_steps=288.0)
    objective = replace(SLA, good_share=0.95)
    assert level(worse, objective) < level(believed, objective)
    assert level(worse) == level(believed)
    of_requests = replace(worse, measured_missed=6e3, measured_total=288e3)
    assert level(of_requests, objective) == pytest.approx(level(worse, objective))


@given(st.lists(st.floats(0, 1), max_size=20))
def test_the_ledgers_leave_the_level_and_the_level_the_ledgers(violations: list[float]) -> None:
    state = fed(violations)
    counted = count_measured(count_believed(state, 1.0, SLA, STEP_S), 1.0, 1.0, SLA, STEP_S)
    assert counted.log_level == state.log_level
    taught = teach_level(state, 1.0, SLA, CONFIG)
    assert replace(taught, log_level=state.log_level) == state
    lowest = math.log(CONFIG.min_level_ratio)
    assert taught.log_level < state.log_level or state.log_level == pytest.approx(lowest)


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.001, 0.5))
@settings(max_examples=60, deadline=None)
def test_the_level_stays_a_usable_probability(violations: list[float], epsilon: float) -> None:
    sla = Sla(epsilon)
    found = level(fed(violations, sla), sla)
    assert epsilon * CONFIG.min_level_ratio - 1e-12 <= found <= max(CONFIG.max_level, epsilon)


def test_a_window_that_was_not_broken_yet_leaves_nothing_to_be_spent() -> None:
    """After a twentieth of 28 days the level was 1.9 times what was promised of each step."""
    windows = promise_of_steps(Sla(0.01, "AnyInWindow"), STEP_S)
    assert windows.epsilon is not None
    steps = Sla(windows.epsilon)
    quiet, spent = RiskState(observed_steps=2000.0), RiskState(1.0, 1.0, 2000.0)
    assert level(quiet, windows) == level(RiskState(), windows) < windows.epsilon
    assert level(quiet, steps) > 1.5 * windows.epsilon
    assert level(spent, windows) == level(spent, steps)


def decided(
    risk: float | None, level: float | None, price: float | None = None, *, is_short: bool = False
) -> Any:
    """A decision, as much of it as memory keeps."""
    return SimpleNamespace(
        risk_after=risk, risk_level=level, next_log_multiplier=price, is_short=is_short
    )


def test_what_a_decision_took_of_its_level_is_remembered_with_its_price() -> None:
    """The mean of the last few; one that estimated nothing counts as having taken its level."""
    took = after_decision(RiskState(log_level=0.3), decided(0.002, 0.01, 2.5), CONFIG)
    assert took == RiskState(log_level=0.3, log_multiplier=2.5, level_use=1.0 - 0.8 * USE_WEIGHT)
    for unknown in (decided(None, None), decided(None, 0.01), decided(0.002, None)):
        assert after_decision(RiskState(), unknown, CONFIG) == RiskState()
        assert took.level_use < after_decision(took, unknown, CONFIG).level_use < 1.0


def test_a_risk_that_was_chosen_is_remembered_as_no_more_than_a_few_levels() -> None:
    found = after_decision(RiskState(), decided(1.0, 0.001), CONFIG).level_use
    assert found == pytest.approx(1.0 + USE_WEIGHT * (CONFIG.max_risk_ratio - 1.0))


def test_what_a_short_count_misses_teaches_nothing_beyond_what_was_foretold() -> None:
    """At its bound, frozen or cut: as the decision said, nearly all is missed for fifty steps.

    Were it held against a few levels, the level would fall to a twentieth and stay there for days.
    """
    state = RiskState()
    for _ in range(50):
        now = level(state)
        state = after_decision(state, decided(0.96, now, is_short=True), CONFIG)
        state = update_risk(state, 0.95, SLA, STEP_S, CONFIG)
    assert state.log_level == 0.0
    worse = update_risk(replace(state, level_use=20.0), 0.95, SLA, STEP_S, CONFIG)
    assert worse.log_level < 0.0


def test_that_a_short_count_missed_nothing_raises_the_level_by_no_more_than_a_few_levels_do() -> (
    None
):
    few = replace(RiskState(), level_use=CONFIG.max_risk_ratio)
    many = replace(RiskState(), level_use=90.0)
    raised = [teach_level(state, 0.0, SLA, CONFIG).log_level for state in (few, many)]
    assert raised[0] == raised[1] > 0.0


@pytest.mark.parametrize("kind", ["TimeFraction", "DemandFraction"])
def test_a_level_that_whole_counts_do_not_take_does_not_climb(kind: RiskKind) -> None:
    """One replica fewer is too few: as little is missed as decisions expect, of half the level.

    Taught by what was promised, the level would have left the aim behind, to be spent where demand
    next changes. Where decisions expected to take it whole, so little says that they are too wary.
    """
    sla = Sla(0.05, kind, good_share=0.95)
    found = {}
    for expected in (0.5, 1.0):
        state = RiskState()
        for _ in range(400):
            now = level(state, sla)
            state = after_decision(state, decided(expected * now, now), CONFIG)
            state = measured(state, 0.5 * CONFIG.aim_ratio * sla.epsilon, sla, CONFIG)
        found[expected] = state.log_level
    assert abs(found[0.5]) < 0.1
    assert found[1.0] > 0.5


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans()), min_size=200, max_size=400
    ),
    st.sampled_from([0.01, 0.05, 0.2]),
)
@settings(max_examples=40, deadline=None)
def test_the_stated_bounds_hold_whatever_decisions_took_of_their_level(
    steps: list[tuple[float, float, bool]], epsilon: float
) -> None:
    """While unclipped: the mean violation is near the aim times the mean use, and the price keeps
    that use from above one by what the price has moved and what the mean is behind."""
    config = replace(CONFIG, gain=1e-4, min_level_ratio=1e-9, max_level=0.99, max_level_ratio=1e9)
    sla, n_steps = Sla(epsilon), len(steps)
    state, price, uses, logs, prices = RiskState(), 3.0, [], [0.0], [3.0]
    for violation, risk, is_near in steps:
        now = level(state, sla, config)
        estimated = now * 2.0 * risk if is_near else risk
        price = next_multiplier(price, estimated, now, state.observed_steps, config)
        state = after_decision(state, decided(estimated, now, price), config)
        uses.append(state.level_use)
        state = update_risk(state, violation, sla, STEP_S, config)
        logs.append(state.log_level)
        prices.append(price)
    mean_use, mean_violation = float(np.mean(uses)), float(np.mean([v for v, *_ in steps]))
    gap = abs(mean_violation - config.aim_ratio * epsilon * mean_use)
    assert gap <= epsilon * (max(logs) - min(logs)) / (config.gain * n_steps) + 1e-9
    if max(prices) < MAX_LOG_MULTIPLIER:
        moved = (max(prices) - min(prices)) / (config.multiplier_gain * n_steps)
        behind = config.max_risk_ratio / (USE_WEIGHT * n_steps)
        assert mean_use <= 1.0 + moved + behind + 1e-9


def test_a_violation_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"violation_ratio=1\.5"):
        update_risk(RiskState(), 1.5, SLA, STEP_S, CONFIG)


@given(st.floats(1e-3, 1e6), st.floats(0.1, 1e4), st.floats(0.5, 2))
def test_the_reactive_floor_holds_the_last_demand(
    last: float, capacity: float, ratio: float
) -> None:
    floor = reactive_floor(last, capacity, ratio)
    held = min(last * ratio, MOST_NEEDED * capacity)
    assert floor * capacity >= held * (1 - 1e-8)
    assert (floor - 1) * capacity < last * ratio or floor == 0
