"""The hedge: laws of the weights, what bad input gets, and what a change of level does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecaster.config import QUANTILE_LEVELS
from forecaster.errors import ConfigError, ShapeError
from forecaster.metrics import crps_of_quantiles
from forecaster.online.hedge import Experts, Hedge, HedgeState
from forecaster.online.learner import Outcome
from forecaster.online.replay import replay
from tests.unit.forecaster.online.records import forecast_of

LEVELS = np.array(QUANTILE_LEVELS)
H = 4


def _around(centre: float, spread: float, n_rows: int = 1) -> np.ndarray:
    """(B, Q, H) quantiles, even in the level."""
    column = centre + spread * (LEVELS - 0.5)
    return np.broadcast_to(column[None, :, None], (n_rows, LEVELS.size, H)).astype(np.float32)


def _experts(own: np.ndarray, last_value: np.ndarray, origins: np.ndarray | int = 0) -> Experts:
    """Forecasts of one workload, "a"."""
    return Experts(forecast_of(own, ["a"] * len(own), origins), last_value)


def _seen(actual: float | np.ndarray, n_rows: int = 1) -> Outcome:
    return Outcome(np.full((n_rows, H), actual, dtype=np.float32), np.ones((n_rows, H), bool))


def _lived(
    actual: float, n: int, own: np.ndarray, last_value: np.ndarray, scale: float = 1.0
) -> HedgeState:
    state, unit = Hedge().empty_state(["a"]), np.float32(scale)
    for step in range(0, n * 4, 4):
        experts = _experts(own * unit, last_value * unit, step)
        state = Hedge().observe(state, experts, _seen(actual * scale))
    return state


def _weight(state: HedgeState) -> np.ndarray:
    return Hedge().last_value_weight(state)


def test_before_any_outcome_the_last_value_has_the_weight_of_the_prior() -> None:
    hedge = Hedge(prior=0.2)
    np.testing.assert_allclose(hedge.last_value_weight(hedge.empty_state(["a", "b"])), 0.2)


def test_weight_goes_to_whoever_is_right() -> None:
    wrong, right = _around(10, 2), _around(3, 2)
    assert _weight(_lived(3.0, 40, wrong, right)).min() > 0.8
    assert _weight(_lived(10.0, 40, wrong, right)).max() < 0.05


def test_weights_return_when_the_forecast_is_right_again() -> None:
    own, last_value = _around(10, 2), _around(3, 2)
    state = _lived(3.0, 60, own, last_value)
    held = _weight(state).min()
    for step in range(240, 240 + 600, 4):
        state = Hedge().observe(state, _experts(own, last_value, step), _seen(10.0))
    assert _weight(state).max() < 0.3 < held


def test_one_wrong_sample_is_forgotten_as_the_rest_is() -> None:
    """Were its size kept for ever, no change of level would be learned any more."""
    wrong, right = _around(10, 2), _around(3, 2)
    burst = _experts(wrong, _around(1e6, 2), 0)
    state = Hedge().observe(Hedge().empty_state(["a"]), burst, _seen(10.0))
    later = round(40 * Hedge().memory_steps)
    for step in range(later, later + 160, 4):
        state = Hedge().observe(state, _experts(wrong, right, step), _seen(3.0))
    assert _weight(state).min() > 0.8


def test_nothing_is_learned_within_a_stride() -> None:
    own, last_value = _around(10, 2), _around(3, 2)
    state = _lived(3.0, 2, own, last_value)
    soon = Hedge().observe(state, _experts(own, last_value, 7), _seen(3.0))
    assert soon.to_dicts() == state.to_dicts()
    due = Hedge().observe(state, _experts(own, last_value, 8), _seen(3.0))
    assert due.to_dicts() != state.to_dicts()


@given(st.floats(-6, 6), st.floats(0.5, 20), st.integers(1, 30))
def test_weights_do_not_depend_on_the_unit_of_the_demand(
    exponent: float, actual: float, n: int
) -> None:
    experts = (_around(10, 2), _around(3, 5))
    one = _weight(_lived(actual, n, *experts))
    other = _weight(_lived(actual, n, *experts, scale=10.0**exponent))
    np.testing.assert_allclose(one, other, atol=1e-3)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=40), st.integers(0, 2**31))
def test_weights_stay_inside_and_quantiles_stay_ordered_between_the_experts(
    outcomes: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    own, last_value = (
        np.sort(rng.gamma(1.0, 50.0, (1, LEVELS.size, H)), axis=1).astype(np.float32)
        for _ in range(2)
    )
    state = Hedge().empty_state(["a"])
    for n, outcome in enumerate(outcomes):
        state = Hedge().observe(state, _experts(own, last_value, 4 * n), _seen(outcome))
    weight = _weight(state)
    assert np.all((weight >= 0) & (weight <= 1))
    quantiles = Hedge().apply(state, _experts(own, last_value)).quantiles
    assert np.all(np.diff(quantiles, axis=1) >= 0)
    assert np.all(quantiles <= np.maximum(own, last_value).max(axis=1, keepdims=True) + 1e-3)
    assert np.all(quantiles >= np.minimum(own, last_value).min(axis=1, keepdims=True) - 1e-3)


@pytest.mark.slow
@settings(max_examples=25)  # of four workloads each: a replay costs nearly the same for one
@given(st.integers(0, 2**31), st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4))
def test_regret_against_the_better_expert_is_bounded_whatever_happens(
    seed: int, shares: list[float]
) -> None:
    """Mean CRPS is at most that of the better expert plus what the prior and luck allow."""
    rng = np.random.default_rng(seed)
    n, names = 200, ["a", "b", "c", "d"]
    rows = n * len(names)
    own = forecast_of(_around(10, 8, rows), names * n, np.repeat(4 * np.arange(n), len(names)))
    experts = Experts(own, _around(4, 8, rows))
    is_low = rng.random((n, len(names))) < shares
    actual = np.where(is_low, 4.0, 10.0).reshape(rows, 1) + rng.normal(0, 1, (rows, H))
    hedge = Hedge(memory_steps=1e9)
    issued, _ = replay(hedge, hedge.empty_state(names), experts, _seen(actual, rows))
    every = (own.quantiles, experts.last_value, issued.quantiles)
    by_workload = (n, len(names), H)
    loss = [crps_of_quantiles(q, LEVELS, actual).reshape(by_workload).mean((0, 2)) for q in every]
    off = np.maximum(np.abs(actual - 10), np.abs(actual - 4)).reshape(by_workload).max((0, 2))
    assert np.all(loss[2] <= np.minimum(*loss[:2]) + off * np.sqrt(4 * np.log(2 / 0.05) / n))


def test_a_change_of_level_costs_less_with_the_hedge() -> None:
    rng = np.random.default_rng(3)
    n, change = 400, 200
    level = np.where(np.arange(n) < change, 100.0, 10.0)
    actual = (level[:, None] + rng.normal(0, 2, (n, H))).astype(np.float32)
    last_value = np.concatenate([_around(v, 10) for v in level])
    experts = _experts(_around(100, 10, n), last_value, np.arange(n))
    issued, _ = replay(Hedge(), Hedge().empty_state(["a"]), experts, _seen(actual, n))
    before, after = slice(0, change), slice(change + 60, n)
    loss = crps_of_quantiles(issued.quantiles, LEVELS, actual).mean(axis=1)
    alone = crps_of_quantiles(experts.forecast.quantiles, LEVELS, actual).mean(axis=1)
    assert loss[before].mean() < 1.02 * alone[before].mean()
    assert loss[after].mean() < 0.2 * alone[after].mean()


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"prior": 0.0}, "prior=0.0"),
        ({"memory_steps": 0.0}, "memory_steps"),
        ({"stride": 0}, "str"),
    ],
)
def test_impossible_settings_are_refused_by_name(setting: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Hedge(**setting)  # type: ignore[arg-type]


def test_experts_of_different_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="experts"):
        _experts(_around(1, 1, 2), _around(1, 1, 1))


def test_after_steps_became_longer_it_learns_on() -> None:
    """The number of an origin in steps of 120 s is half of what it was in steps of 60 s."""
    own, last_value = _around(10, 2), _around(3, 2)
    state = Hedge().empty_state(["a"])
    for step in range(29_459_520, 29_459_520 + 40, 4):
        state = Hedge().observe(state, _experts(own, last_value, step), _seen(3.0))
    longer = forecast_of(own, ["a"], 29_459_560 // 2, step_s=120)
    after = Hedge().observe(state, Experts(longer, last_value), _seen(3.0))
    assert after.learned_step.tolist() == [29_459_560 // 2]
    assert _weight(after).min() > _weight(state).min()


def test_an_origin_before_the_newest_one_teaches_nothing_twice() -> None:
    own, last_value = _around(10, 2), _around(3, 2)
    state = _lived(3.0, 20, own, last_value)
    again = Hedge().observe(state, _experts(own, last_value, 40), _seen(3.0))
    assert again.to_dicts() == state.to_dicts()
