"""The hedge: laws of the weights, what bad input gets, and what a change of level does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from forecaster.config import QUANTILE_LEVELS
from forecaster.errors import ConfigError, ShapeError
from forecaster.metrics import crps_of_quantiles
from forecaster.online.hedge import (
    HedgeConfig,
    from_dicts,
    last_value_weight,
    learned,
    mixed,
    no_hedge_yet,
    to_dicts,
)
from forecaster.online.hedge_stream import hedge_stream

LEVELS = np.array(QUANTILE_LEVELS)
H = 4


def _around(centre: float, spread: float, n_rows: int = 1) -> np.ndarray:
    """(B, Q, H) quantiles, even in the level."""
    column = centre + spread * (LEVELS - 0.5)
    return np.broadcast_to(column[None, :, None], (n_rows, LEVELS.size, H)).astype(np.float32)


def _lived(actual: float, n: int, experts: tuple[np.ndarray, np.ndarray], scale: float = 1.0):
    state = no_hedge_yet(["a"])
    happened = np.full((1, H), actual * scale, dtype=np.float32)
    said = (experts[0] * np.float32(scale), experts[1] * np.float32(scale))
    for step in range(0, n * 4, 4):
        state = learned(state, said, happened, np.ones((1, H), bool), step, LEVELS)
    return state


def test_before_any_outcome_the_last_value_has_the_weight_of_the_prior():
    weight = last_value_weight(no_hedge_yet(["a", "b"]), HedgeConfig(prior=0.2))
    np.testing.assert_allclose(weight, 0.2)


def test_weight_goes_to_whoever_is_right():
    wrong, right = _around(10, 2), _around(3, 2)
    assert last_value_weight(_lived(3.0, 40, (wrong, right))).min() > 0.8
    assert last_value_weight(_lived(10.0, 40, (wrong, right))).max() < 0.05


def test_weights_return_when_the_forecast_is_right_again():
    experts = (_around(10, 2), _around(3, 2))
    state = _lived(3.0, 60, experts)
    held = last_value_weight(state).min()
    seen = np.ones((1, H), bool)
    for step in range(240, 240 + 600, 4):
        state = learned(state, experts, np.full((1, H), 10, np.float32), seen, step, LEVELS)
    assert last_value_weight(state).max() < 0.3 < held


def test_nothing_is_learned_from_what_was_not_observed_nor_within_a_stride():
    experts, happened = (_around(10, 2), _around(3, 2)), np.full((1, H), 3, np.float32)
    state = _lived(3.0, 2, experts)
    blind = learned(state, experts, happened, np.zeros((1, H), bool), 99, LEVELS)
    soon = learned(state, experts, happened, np.ones((1, H), bool), 7, LEVELS)
    for other in (blind, soon):
        assert to_dicts(other) == to_dicts(state)


def test_an_unobserved_step_is_never_read():
    experts = (_around(10, 2), _around(3, 2))
    seen = np.array([[True, True, False, True]])
    found = []
    for filler in (0.0, 1e6, np.nan):
        happened = np.array([[3, 3, filler, 3]], np.float32)
        found.append(to_dicts(learned(no_hedge_yet(["a"]), experts, happened, seen, 0, LEVELS)))
    assert found[0] == found[1] == found[2]


@given(st.floats(-6, 6), st.floats(0.5, 20), st.integers(1, 30))
def test_weights_do_not_depend_on_the_unit_of_the_demand(exponent, actual, n):
    experts = (_around(10, 2), _around(3, 5))
    one = last_value_weight(_lived(actual, n, experts))
    other = last_value_weight(_lived(actual, n, experts, scale=10.0**exponent))
    np.testing.assert_allclose(one, other, atol=1e-3)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=40), st.integers(0, 2**31))
def test_weights_stay_inside_and_quantiles_stay_ordered_between_the_experts(outcomes, seed):
    rng = np.random.default_rng(seed)
    experts = tuple(
        np.sort(rng.gamma(1.0, 50.0, (1, LEVELS.size, H)), axis=1).astype(np.float32)
        for _ in range(2)
    )
    state = no_hedge_yet(["a"])
    for n, outcome in enumerate(outcomes):
        happened = np.full((1, H), outcome, np.float32)
        state = learned(state, experts, happened, np.ones((1, H), bool), 4 * n, LEVELS)
    weight = last_value_weight(state)
    assert np.all((weight >= 0) & (weight <= 1))
    quantiles = mixed(*experts, state, LEVELS, None)
    assert np.all(np.diff(quantiles, axis=1) >= 0)
    assert np.all(quantiles <= np.maximum(*experts).max(axis=1, keepdims=True) + 1e-3)
    assert np.all(quantiles >= np.minimum(*experts).min(axis=1, keepdims=True) - 1e-3)


@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_regret_against_the_better_expert_is_bounded_whatever_happens(seed, share):
    """Mean CRPS is at most that of the better expert plus what the prior and luck allow."""
    rng = np.random.default_rng(seed)
    n = 200
    experts = (_around(10, 8, n), _around(4, 8, n))
    is_low = rng.random(n) < share
    actual = np.where(is_low, 4.0, 10.0)[:, None] + rng.normal(0, 1, (n, H))
    issued, _ = hedge_stream(
        experts,
        actual.astype(np.float32),
        np.ones((n, H), bool),
        np.zeros(n, np.int64),
        4 * np.arange(n),
        LEVELS,
        no_hedge_yet(["a"]),
        HedgeConfig(memory_steps=1e9),
    )
    loss = [crps_of_quantiles(q, LEVELS, actual).mean() for q in (*experts, issued)]
    largest = max(np.abs(actual - 10).max(), np.abs(actual - 4).max())
    assert loss[2] <= min(loss[:2]) + largest * np.sqrt(4 * np.log(2 / 0.05) / n)


def test_a_change_of_level_costs_less_with_the_hedge():
    rng = np.random.default_rng(3)
    n, change = 400, 200
    level = np.where(np.arange(n) < change, 100.0, 10.0)
    actual = (level[:, None] + rng.normal(0, 2, (n, H))).astype(np.float32)
    experts = (_around(100, 10, n), np.concatenate([_around(v, 10) for v in level]))
    issued, _ = hedge_stream(
        experts,
        actual,
        np.ones((n, H), bool),
        np.zeros(n, np.int64),
        np.arange(n),
        LEVELS,
        no_hedge_yet(["a"]),
    )
    before, after = slice(0, change), slice(change + 60, n)
    loss = crps_of_quantiles(issued, LEVELS, actual).mean(axis=1)
    alone = crps_of_quantiles(experts[0], LEVELS, actual).mean(axis=1)
    assert loss[before].mean() < 1.02 * alone[before].mean()
    assert loss[after].mean() < 0.2 * alone[after].mean()


def test_a_stream_knows_no_outcome_before_its_horizon_has_passed():
    n = 40
    experts = (_around(10, 2, n), _around(3, 2, n))
    base = np.full((n, H), 10.0, np.float32)
    other = base.copy()
    other[20:] = 3.0
    columns = (np.ones((n, H), bool), np.zeros(n, np.int64), np.arange(n), LEVELS)
    one, _ = hedge_stream(experts, base, *columns, no_hedge_yet(["a"]))
    two, _ = hedge_stream(experts, other, *columns, no_hedge_yet(["a"]))
    np.testing.assert_array_equal(one[: 20 + H], two[: 20 + H])
    assert not np.array_equal(one[20 + H :], two[20 + H :])


def test_state_survives_storage_and_strangers_start_with_the_prior():
    state = _lived(3.0, 5, (_around(10, 2), _around(3, 2)))
    back = from_dicts(["b", "a"], {"a": to_dicts(state)[0]})
    assert to_dicts(back.rows(np.array([1]))) == to_dicts(state)
    assert to_dicts(back)[0] == to_dicts(no_hedge_yet(["b"]))[0]


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"prior": 0.0}, "prior=0.0"),
        ({"memory_steps": 0.0}, "memory_steps"),
        ({"stride": 0}, "str"),
    ],
)
def test_impossible_settings_are_refused_by_name(setting, named):
    with pytest.raises(ConfigError, match=named):
        HedgeConfig(**setting)


def test_experts_of_different_shapes_are_refused():
    with pytest.raises(ShapeError, match="experts"):
        hedge_stream(
            (_around(1, 1, 2), _around(1, 1, 1)),
            np.zeros((2, H), np.float32),
            np.ones((2, H), bool),
            np.zeros(2, np.int64),
            np.arange(2),
            LEVELS,
            no_hedge_yet(["a"]),
        )
