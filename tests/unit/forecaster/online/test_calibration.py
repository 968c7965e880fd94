"""Online calibration: coverage is reached, ranks are kept, state is passed in and out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecaster.errors import ConfigError, ShapeError
from forecaster.metrics import pinball
from forecaster.online.calibration import Calibration, largest_seen
from forecaster.online.learner import Outcome
from forecaster.online.offsets import CalibrationState
from forecaster.types import Forecast
from tests.unit.forecaster.online.records import LEVELS, forecast_of

CALIBRATION = Calibration(LEVELS)
STANDARD = np.quantile(np.random.default_rng(0).normal(size=100_000), LEVELS)


def normal_forecast(rng: np.random.Generator, width: float, n_paths: int = 40) -> Forecast:
    """Two workloads, four steps; the truth has width 1."""
    quantiles = np.tile((20 + width * STANDARD)[None, :, None], (2, 1, 4))
    paths = 20 + rng.normal(0, width, (2, n_paths, 4))
    return forecast_of(quantiles, ("a", "b"), paths=paths.astype(np.float32))


def outcome(actual: np.ndarray, seen: np.ndarray | None = None) -> Outcome:
    """Everything is observed when nothing else is given."""
    observed = np.ones(actual.shape, dtype=bool) if seen is None else seen
    return Outcome(actual.astype(np.float32), observed)


def any_state(rng: np.random.Generator, names: tuple[str, ...] = ("a", "b")) -> CalibrationState:
    """A state in the middle of its life."""
    state = CALIBRATION.empty_state(names)
    return replace(
        state,
        offsets=rng.normal(0, 0.5, state.offsets.shape),
        error_scale=rng.gamma(2, 2, state.error_scale.shape),
        demand_scale=rng.gamma(2, 10, state.demand_scale.shape),
        n_seen=rng.integers(1, 9000, state.n_seen.shape),
    )


def issue_and_learn(
    width: float, n_steps: int, n_burned: int, calibration: Calibration = CALIBRATION
) -> tuple[np.ndarray, np.ndarray]:
    """Share below each level and the tail's mean pinball, after and before calibration."""
    rng = np.random.default_rng(1)
    raw = normal_forecast(rng, width, n_paths=0)
    state = calibration.empty_state(raw.workloads)
    hits, losses = np.zeros(LEVELS.size), np.zeros(2)
    for t in range(n_steps):
        issued = calibration.apply(state, raw)
        actual = rng.normal(20, 1, (2, 4)).astype(np.float32)
        state = calibration.observe(state, issued, outcome(actual))
        if t >= n_burned:
            hits += (actual[:, None] <= issued.quantiles).mean(axis=(0, 2))
            for k, forecast in enumerate((issued, raw)):
                losses[k] += pinball(forecast.quantiles, LEVELS, actual)[:, -3:].mean()
    assert state.n_seen.tolist() == [4 * n_steps] * 2
    return hits / (n_steps - n_burned), losses


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.6, 1.0])
def test_narrow_and_right_forecasts_reach_their_nominal_coverage(width: float) -> None:
    share, losses = issue_and_learn(width, 1300, 600)
    is_tail = (LEVELS >= 0.9) | (LEVELS <= 0.1)
    assert np.allclose(share[is_tail], LEVELS[is_tail], atol=0.012)
    assert abs(share[-2] - 0.99) < 0.004
    assert losses[0] < 1.05 * losses[1]


def test_a_right_forecast_is_hardly_disturbed_once_many_outcomes_are_known() -> None:
    _, losses = issue_and_learn(1.0, 1300, 600)
    always_quick = Calibration(LEVELS, tail_rate=0.03, extreme_rate=0.15, young_ratio=1.0)
    _, disturbed = issue_and_learn(1.0, 1300, 600, always_quick)
    assert losses[0] < 1.012 * losses[1]
    assert disturbed[0] > 1.014 * disturbed[1]


def test_a_narrow_forecast_of_a_new_workload_is_widened_quickly() -> None:
    _, losses = issue_and_learn(0.6, 300, 0)
    _, slow = issue_and_learn(0.6, 300, 0, Calibration(LEVELS, young_ratio=1.0))
    assert losses[0] < 0.61 * losses[1]
    assert slow[0] > 0.63 * slow[1]


def test_steps_are_three_times_as_large_at_first_and_half_of_that_is_gone_by_1200_outcomes() -> (
    None
):
    raw = forecast_of((50 + STANDARD)[None, :, None], ["a"])
    state = CALIBRATION.empty_state(("a",))

    def first_step(n_seen: int) -> np.ndarray:
        young = replace(state, n_seen=np.array([n_seen]))
        return CALIBRATION.observe(young, raw, outcome(np.array([[1e3]]))).offsets[0, :, 0]

    assert np.allclose(first_step(0), 3 * CALIBRATION.rates(LEVELS) * LEVELS)
    assert np.allclose(first_step(1200), 2 * CALIBRATION.rates(LEVELS) * LEVELS)
    assert np.allclose(first_step(10**9), CALIBRATION.rates(LEVELS) * LEVELS)


def test_wide_forecasts_narrow_slowly_and_stay_on_the_safe_side() -> None:
    share, losses = issue_and_learn(2.5, 900, 300)
    upper = LEVELS >= 0.9
    assert (share[upper] >= LEVELS[upper] - 0.01).all()
    assert losses[0] < losses[1]


def adversary(kind: str, t: int, quantile: float, share: float, level: float) -> float:
    """A value in 0..100; the spiteful one knows the quantile just issued and the coverage."""
    if kind == "blocks":
        return 100.0 if t // 300 % 2 else 0.0
    if kind == "drift":
        return t / 30
    if kind == "rare":
        return 100.0 if t % 20 == 0 else 50.0
    return min(quantile + 5, 100.0) if share >= level else max(quantile - 5, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "level"),
    [("blocks", 0.5), ("drift", 0.5), ("rare", 0.5), ("spiteful", 0.95), ("spiteful", 0.99)],
)
def test_long_run_coverage_tends_to_nominal_whatever_the_data_do(kind: str, level: float) -> None:
    """The law of adaptive conformal inference: rate times summed misses is a bounded offset.

    Hence the gap to nominal is at most bound / (rate * T), at every level, far below the limit.
    """
    bound = 10.0
    at = int(np.argmin(np.abs(LEVELS - level)))
    raw = forecast_of((50 + STANDARD)[None, :, None], ["a"])
    state = CALIBRATION.empty_state(("a",))
    n_steps, hits = 3500, np.zeros(LEVELS.size)
    for t in range(n_steps):
        issued = CALIBRATION.apply(state, raw)
        quantiles = issued.quantiles[0, :, 0]
        limit = float(quantiles[at])
        value = np.float32(adversary(kind, t, limit, hits[at] / max(t, 1), level))
        hits += np.where(value == quantiles, LEVELS, value < quantiles)
        state = CALIBRATION.observe(state, issued, outcome(np.array([[value]])))
    assert np.abs(state.offsets).max() < bound < CALIBRATION.limit
    gap = np.abs(hits / n_steps - LEVELS)
    is_tail = np.abs(LEVELS - 0.5) >= 0.45
    assert (gap <= bound / (CALIBRATION.rates(LEVELS) * n_steps))[is_tail].all()
    assert gap[[0, 1, -2, -1]].max() < 0.02


def test_an_empty_state_changes_nothing() -> None:
    raw = normal_forecast(np.random.default_rng(2), 1.0)
    same = CALIBRATION.apply(CALIBRATION.empty_state(raw.workloads), raw)
    assert np.array_equal(same.quantiles, raw.quantiles)
    assert np.allclose(same.paths, raw.paths, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_quantiles_stay_ordered_and_positive_and_paths_keep_their_ranks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = normal_forecast(rng, float(rng.uniform(0.1, 8)))
    raw = replace(raw, quantiles=np.maximum(raw.quantiles, 0), paths=np.maximum(raw.paths, 0))
    moved = CALIBRATION.apply(any_state(rng), raw)
    assert (np.diff(moved.quantiles, axis=1) >= 0).all()
    assert (moved.quantiles >= 0).all()
    assert (moved.paths >= 0).all()
    order = np.argsort(raw.paths, axis=1)
    carried = np.take_along_axis(moved.paths, order, axis=1)
    assert (np.diff(carried, axis=1) >= -1e-3).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-3, 0.5, 64.0, 1e5]))
def test_calibration_does_not_depend_on_the_unit_of_demand(seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    raw = normal_forecast(rng, 1.0, n_paths=0)
    actual = rng.gamma(4, 5, (6, 2, 4))
    found = []
    for factor in (1.0, unit):
        state = CALIBRATION.empty_state(("a", "b"))
        scaled = replace(raw, quantiles=(raw.quantiles * factor).astype(np.float32))
        for one in actual:
            issued = CALIBRATION.apply(state, scaled)
            state = CALIBRATION.observe(state, issued, outcome(one * factor))
        found.append(CALIBRATION.apply(state, scaled).quantiles / factor)
    assert np.allclose(found[0], found[1], rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_no_quantile_is_raised_beyond_what_was_seen(seed: int) -> None:
    """Where the forecast itself goes further, it stays; a level that falls is not held."""
    rng = np.random.default_rng(seed)
    raw, state = normal_forecast(rng, 1.0), any_state(rng)
    most = np.array([rng.uniform(15.0, 25.0), np.inf], dtype=np.float32)
    free, held = CALIBRATION.apply(state, raw), CALIBRATION.apply(state, raw, most)
    top = np.maximum(raw.quantiles, most[:, None, None])
    assert np.array_equal(held.quantiles, np.minimum(free.quantiles, top))
    assert (np.diff(held.quantiles, axis=1) >= 0).all()
    assert np.array_equal(held.quantiles[1], free.quantiles[1])


def test_a_window_holds_the_forecasts_that_are_read_off_it() -> None:
    values = np.array([[3.0, 9.0, 4.0]] * 4, dtype=np.float32)
    observed = np.array([[True] * 3, [True, False, True], [False] * 3, [True] * 3])
    rungs = ("smoothed", "short_history", "trailing_percentile", "model")
    found = largest_seen(values, observed, rungs)
    assert found.tolist() == [9.0, 4.0, np.inf, np.inf]


def test_a_window_holds_the_prior_of_a_service_of_its_first_day() -> None:
    values = np.array([[3.0, 9.0, 4.0]] * 4, dtype=np.float32)
    rungs = ("prior", "prior", "model", "smoothed")
    young = np.array([True, False, True, False])
    found = largest_seen(values, np.ones((4, 3), dtype=bool), rungs, young)
    assert found.tolist() == [9.0, np.inf, np.inf, 9.0]
    assert largest_seen(values, np.ones((4, 3), dtype=bool), rungs)[0] == np.inf


def test_unobserved_steps_teach_their_group_nothing() -> None:
    raw = normal_forecast(np.random.default_rng(3), 1.0)
    state = CALIBRATION.empty_state(raw.workloads)
    seen = np.zeros((2, 4), dtype=bool)
    seen[1, :2] = True
    actual = np.where(seen, np.float32(1e6), np.float32(np.nan))
    after = CALIBRATION.observe(state, raw, outcome(actual, seen))
    assert (after.offsets[0] == 0).all()
    assert (after.error_scale[0] == 0).all()
    assert (after.offsets[1, :, 0] > 0).all()
    assert (after.offsets[1, :, 2] == 0).all()
    assert after.n_seen.tolist() == [0, 2]
    assert np.isnan(after.coverage()[0]).all()
    assert (after.coverage()[1] == 0).all()


def test_a_workload_learns_from_its_batch() -> None:
    """Half of a step is the batch's: a calm neighbour of a workload in trouble moves along."""
    raw = normal_forecast(np.random.default_rng(4), 1.0, n_paths=0)
    state = CALIBRATION.empty_state(raw.workloads)
    actual = np.array([[25.0] * 4, [20.01] * 4], dtype=np.float32)
    offsets = {}
    for ratio in (0.0, 0.5, 1.0):
        pooled = Calibration(LEVELS, pool_ratio=ratio)
        offsets[ratio] = pooled.observe(state, raw, outcome(actual)).offsets[:, -2, 0]
    assert offsets[0.0][0] > 0 > offsets[0.0][1]
    assert offsets[0.5][1] > 0
    assert offsets[1.0][0] == pytest.approx(offsets[1.0][1])
    assert offsets[0.5] == pytest.approx((offsets[0.0] + offsets[1.0]) / 2)
    assert offsets[0.5].mean() == pytest.approx(offsets[0.0].mean())


def test_a_demand_that_is_often_exactly_zero_stays_calibrated() -> None:
    """Right forecasts with an atom must not be moved away: ties count neither way."""
    rng = np.random.default_rng(7)
    grid = np.maximum(LEVELS - 0.6, 0) * 100
    raw = replace(
        normal_forecast(rng, 1.0),
        quantiles=np.tile(grid[None, :, None], (2, 1, 4)).astype(np.float32),
    )
    state = CALIBRATION.empty_state(raw.workloads)
    for _ in range(800):
        actual = (np.maximum(rng.random((2, 4)) - 0.6, 0) * 100).astype(np.float32)
        state = CALIBRATION.observe(state, CALIBRATION.apply(state, raw), outcome(actual))
    moved = CALIBRATION.apply(state, raw).quantiles
    at = LEVELS >= 0.7
    assert np.abs(moved[:, at] - raw.quantiles[:, at]).mean() < 3
    assert np.allclose(moved[:, at], raw.quantiles[:, at], atol=10)
    assert (moved[:, LEVELS <= 0.5] < 1).all()


def test_a_demand_of_zero_that_was_forecast_as_zero_teaches_no_level() -> None:
    raw = normal_forecast(np.random.default_rng(8), 1.0, n_paths=0)
    raw = replace(raw, quantiles=np.zeros_like(raw.quantiles))
    state = any_state(np.random.default_rng(8))
    after = CALIBRATION.observe(state, raw, outcome(np.zeros((2, 4), dtype=np.float32)))
    assert np.allclose(after.offsets, state.offsets, atol=1e-12)


def tail_after(values: np.ndarray, width: float, calibration: Calibration) -> np.ndarray:
    """The 99.5 % quantile issued before each row of `(T, H)` values; the raw forecast is 100."""
    tiled = np.tile((100 + width * STANDARD)[None, :, None], (1, 1, values.shape[1]))
    raw, state, found = forecast_of(tiled, ["a"]), calibration.empty_state(["a"]), []
    for row in values.astype(np.float32)[:, None]:
        issued = calibration.apply(state, raw)
        found.append(float(issued.quantiles[0, -1, 0]))
        state = calibration.observe(state, issued, outcome(row))
    return np.array(found)


def test_one_broken_measurement_does_not_ruin_the_tail() -> None:
    values = np.random.default_rng(9).normal(100, 10, (900, 4))
    clean = tail_after(values, 10.0, CALIBRATION)
    values[500, 0] = 1e9
    broken = tail_after(values, 10.0, CALIBRATION)
    assert broken[501] > clean[501]
    assert np.abs(broken - clean).max() < 15


@pytest.mark.slow
def test_a_forecast_that_had_no_spread_recovers_without_overshoot() -> None:
    """A constant demand comes alive: offsets in the old, vanishing error must not explode."""
    rng = np.random.default_rng(10)
    values = np.concatenate([np.full((300, 12), 100.0), rng.normal(100, 10, (1200, 12))])
    found = tail_after(values, 1e-3, CALIBRATION)
    assert found[:300].max() < 100.1
    assert found.max() < 145
    assert 115 < found[-300:].mean() < 140
    quick = Calibration(LEVELS, young_ratio=9.0)
    careless = replace(quick, regime_error=1e9)
    assert tail_after(values, 1e-3, quick).max() < tail_after(values, 1e-3, careless).max() - 8


def test_limits_hold() -> None:
    raw = normal_forecast(np.random.default_rng(4), 1.0)
    state = CALIBRATION.empty_state(raw.workloads)
    quick = Calibration(LEVELS, centre_rate=0.5, limit=1.0)
    for _ in range(60):
        state = quick.observe(state, raw, outcome(np.full((2, 4), 1e6)))
    assert state.offsets.max() == 1.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("centre_rate", -0.1),
        ("pool_ratio", 1.5),
        ("memory", 0.0),
        ("limit", float("nan")),
        ("young_ratio", 0.5),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        Calibration(LEVELS, **{name: value})  # type: ignore[arg-type]


def test_a_stored_state_is_small_and_other_levels_start_empty() -> None:
    raw = normal_forecast(np.random.default_rng(5), 1.0)
    before = CALIBRATION.empty_state(raw.workloads)
    state = CALIBRATION.observe(before, raw, outcome(raw.paths[:, 0]))
    stored = dict(zip(state.workloads, state.to_dicts(), strict=True))
    assert max(len(json.dumps(one)) for one in stored.values()) < 6000
    assert (CALIBRATION.from_dicts(("a",), stored).offsets != 0).any()
    assert (Calibration(LEVELS[1:]).from_dicts(("a",), stored).offsets == 0).all()


def test_a_stored_state_without_a_running_error_counts_in_the_forecasts_spread() -> None:
    raw = normal_forecast(np.random.default_rng(5), 1.0)
    (old,) = CALIBRATION.empty_state(("a",)).to_dicts()
    del old["error_scale"], old["demand_scale"]
    old["offsets"] = np.full((LEVELS.size, 3), 0.5).tolist()
    state = CALIBRATION.from_dicts(("a",), {"a": old})
    moved = CALIBRATION.apply(state, raw.rows([0])).quantiles
    spread = raw.quantiles[0, -4, 0] - raw.quantiles[0, 3, 0]
    assert np.allclose(moved - raw.quantiles[:1], 0.5 * spread, atol=1e-4)


def test_states_of_other_levels_are_refused() -> None:
    raw = normal_forecast(np.random.default_rng(6), 1.0)
    with pytest.raises(ShapeError, match="same levels"):
        CALIBRATION.apply(Calibration(LEVELS[1:]).empty_state(("a", "b")), raw)
