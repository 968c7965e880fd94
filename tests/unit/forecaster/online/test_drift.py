"""Drift of forecasts: false alarms are as rare as stated, real drift is found in a stated time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtr, ndtri

from forecaster.errors import ConfigError, HorizonError, ShapeError
from forecaster.online.drift import (
    BETS,
    NEVER,
    DriftTest,
    DriftVerdict,
    PitState,
    pit_values,
    worst_drift,
)
from forecaster.types import Forecast
from tests.unit.forecaster.online.records import LEVELS, forecast_of

STEP_S = 60
Draw = Callable[[int], np.ndarray]


def live_through(
    draw: Draw, n_workloads: int, n_tests: int, test: DriftTest
) -> tuple[PitState, np.ndarray]:
    """State after, and the number of forecasts tested until the first alarm (or one more)."""
    state = test.empty_state([f"w{i}" for i in range(n_workloads)])
    first = np.full(n_workloads, n_tests + 1)
    seen = np.ones(n_workloads, dtype=bool)
    for t in range(n_tests):
        origin_s = np.full(n_workloads, t * STEP_S * test.ahead)
        state = test.bet(state, draw(t), seen, origin_s, STEP_S)
        first[(state.since_s != NEVER) & (first > n_tests)] = t + 1
    return state, first


def verdicts(state: PitState, test: DriftTest) -> list[DriftVerdict]:
    """The verdicts on forecasts of the state's workloads."""
    quantiles = np.zeros((len(state.workloads), LEVELS.size, 1))
    return test.apply(state, forecast_of(quantiles, state.workloads))


def shifted(rng: np.random.Generator, n: int, mean: float, spread: float) -> Draw:
    return lambda _t: ndtr(rng.normal(mean, spread, n))


@pytest.mark.parametrize("run_length", [50.0, 500.0])
def test_uniform_values_raise_alarms_no_more_often_than_stated(run_length: float) -> None:
    """The law: the mean number of tests until a false alarm is at least the run length."""
    rng = np.random.default_rng(1)
    n_tests = int(4 * run_length)
    test = DriftTest(run_length=run_length)
    _, first = live_through(lambda _t: rng.random(300), 300, n_tests, test)
    # Counting at most `n_tests` of each makes the mean smaller still.
    assert np.minimum(first, n_tests).mean() >= run_length
    assert (first <= n_tests).any(), "a test without any alarm would show nothing"


def test_fair_bets_gain_nothing_on_the_mean() -> None:
    """Each bettor's likelihood ratio has a mean of at most 1 under uniformity (by quadrature)."""
    u = (np.arange(200_000) + 0.5) / 200_000
    test = DriftTest()
    state = test.empty_state([str(i) for i in range(u.size)])
    after = test.bet(state, u, np.ones(u.size, bool), np.zeros(u.size, np.int64), STEP_S)
    mean = np.exp(after.log_wealth).mean(axis=0)
    assert (mean <= 1 + 1e-6).all()
    assert (mean >= 0.75).all()  # clipping the scores costs the bettor on too narrow ones


@pytest.mark.parametrize(
    ("mean", "spread", "n_most", "words"),
    [
        (3.0, 1.0, 8, "above"),  # outcomes at twice the level of a forecast one third as wide
        (-3.0, 1.0, 8, "below"),
        (1.0, 1.0, 75, "above"),
        (0.0, 2.0, 70, "narrow"),
        (0.0, 0.5, 90, "wide"),
    ],
)
def test_drift_is_found_within_a_stated_number_of_tests(
    mean: float, spread: float, n_most: int, words: str
) -> None:
    rng = np.random.default_rng(2)
    before = 100
    calm, changed = shifted(rng, 200, 0, 1), shifted(rng, 200, mean, spread)
    test = DriftTest()
    state, first = live_through(
        lambda t: calm(t) if t < before else changed(t), 200, before + n_most, test
    )
    delay = first - before
    assert (delay > 0).mean() > 0.99
    assert np.quantile(delay, 0.95) <= n_most
    drifted = [v for v in verdicts(state, test) if v.is_drifted]
    assert len(drifted) >= 180
    assert np.mean([words in v.reason for v in drifted]) > 0.9
    # The change point is dated back to where the evidence began.
    begun = np.array([v.since_s for v in drifted]) / (STEP_S * test.ahead)
    assert np.median(np.abs(begun - before)) <= max(0.25 * n_most, 3)


def test_a_forecast_for_a_stuck_sensor_is_found() -> None:
    state, first = live_through(lambda _t: np.full(1, 0.5), 1, 40, DriftTest())
    assert first[0] <= 20
    assert "wide" in verdicts(state, DriftTest())[0].reason


def test_slight_faults_are_no_drift() -> None:
    rng = np.random.default_rng(3)
    for mean, spread in ((0.2, 1.0), (0.0, 1.15), (0.0, 0.85)):
        _, first = live_through(shifted(rng, 100, mean, spread), 100, 1500, DriftTest())
        assert (first <= 1500).mean() <= 0.05


def test_drift_ends_soon_after_forecasts_are_right_again() -> None:
    rng = np.random.default_rng(4)
    bad, good = shifted(rng, 100, 3, 1), shifted(rng, 100, 0, 1)
    state, _ = live_through(lambda t: bad(t) if t < 200 else good(t), 100, 240, DriftTest())
    assert (state.since_s == NEVER).mean() > 0.9


def test_only_observed_and_distant_origins_are_tested() -> None:
    test = DriftTest(ahead=3)
    state = test.empty_state(("a", "b"))
    for t in range(9):
        origin = np.full(2, t * STEP_S)
        seen = np.array([True, t > 4])
        state = test.bet(state, np.array([0.999, 0.999]), seen, origin, STEP_S)
    assert state.n_tested.tolist() == [3, 2]
    assert state.origin_s.tolist() == [6 * STEP_S, 8 * STEP_S]


def forecast(quantiles: np.ndarray) -> Forecast:
    return forecast_of(quantiles, [f"w{i}" for i in range(len(quantiles))])


def test_values_of_a_right_forecast_are_uniform() -> None:
    rng = np.random.default_rng(5)
    n = 4000
    quantiles = np.repeat((20 + 3 * ndtri(LEVELS))[None, :, None], n, axis=0)
    actual = rng.normal(20, 3, (n, 1)).astype(np.float32)
    u = pit_values(forecast(quantiles), actual, 1, 0.5)
    assert np.abs(np.sort(u) - (np.arange(n) + 0.5) / n).max() < 1.63 / np.sqrt(n)


def test_values_are_uniform_although_demand_is_often_zero() -> None:
    """An atom of 60 % at zero: random positions inside it make up for the ties."""
    rng = np.random.default_rng(6)
    n = 4000
    quantiles = np.repeat((np.maximum(LEVELS - 0.6, 0) * 100)[None, :, None], n, axis=0)
    actual = (np.maximum(rng.random((n, 1)) - 0.6, 0) * 100).astype(np.float32)
    u = pit_values(forecast(quantiles), actual, 1, rng.random(n))
    assert np.abs(np.sort(u) - (np.arange(n) + 0.5) / n).max() < 1.63 / np.sqrt(n)
    middle = pit_values(forecast(quantiles), actual, 1, 0.5)
    assert set(middle[actual[:, 0] == 0].round(6)) == {0.3}


def test_a_forecast_without_spread_gives_the_extremes() -> None:
    flat = forecast(np.full((3, LEVELS.size, 2), 5.0))
    actual = np.array([[4, 4], [5, 5], [9e30, 9e30]], dtype=np.float32)
    u = pit_values(flat, actual, 2, 0.5)
    assert u[0] < 1e-6
    assert u[1] == pytest.approx(0.5)
    assert u[2] > 1 - 1e-6


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 50), min_size=LEVELS.size, max_size=LEVELS.size),
    st.floats(0, 60),
    st.floats(0, 60),
)
def test_values_grow_with_the_outcome(values: list[float], first: float, second: float) -> None:
    quantiles = np.repeat(np.sort(values)[None, :, None], 2, axis=0)
    actual = np.sort([first, second])[:, None].astype(np.float32)
    u = pit_values(forecast(quantiles), actual, 1, 0.5)
    assert ((u > 0) & (u < 1)).all()
    assert u[1] >= u[0] - 1e-9


def test_a_stored_state_of_other_bettors_starts_empty() -> None:
    rng = np.random.default_rng(7)
    state, _ = live_through(shifted(rng, 1, 3, 1), 1, 9, DriftTest())
    stored = state.to_dicts()[0]
    other = {"w0": {**stored, "log_wealth": [0.0] * (len(BETS) + 1)}}
    assert DriftTest().from_dicts(("w0",), {"w0": stored}).n_tested.tolist() == [9]
    assert DriftTest().from_dicts(("w0",), other).n_tested.tolist() == [0]


def test_the_worst_verdict_is_the_most_severe() -> None:
    calm = DriftVerdict("w", "pit", 9.0, 4.0, None)
    mild, bad = DriftVerdict("w", "level", 1.0, 0.5, 60), DriftVerdict("w", "shape", 3.0, 0.5, 0)
    assert worst_drift([calm]) is None
    assert worst_drift([calm, mild, bad]) is bad
    assert bad.severity == 6.0


@pytest.mark.parametrize("field", ["ahead", "run_length", "score_limit"])
def test_wrong_settings_are_named(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}=0 must be"):
        DriftTest(**{field: 0})


def test_wrong_shapes_and_horizons_are_refused() -> None:
    short = forecast(np.zeros((1, LEVELS.size, 2)))
    with pytest.raises(HorizonError, match=r"ahead=3 must be in 1\.\.2"):
        pit_values(short, np.zeros((1, 2), dtype=np.float32), 3, 0.5)
    state = DriftTest().empty_state(("a",))
    with pytest.raises(ShapeError, match=r"must be \(1,\)"):
        DriftTest().bet(state, np.zeros(2), np.ones(2, bool), np.zeros(2, np.int64), STEP_S)
    with pytest.raises(ShapeError, match="log_wealth"):
        replace(state, workloads=("a", "b"))
