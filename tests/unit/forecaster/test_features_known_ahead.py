"""Indicators known ahead: read over the horizon, nothing else is, and they help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecaster.augment import hide_older, shift_level
from forecaster.config import TrainConfig, WindowConfig
from forecaster.dataset import Origins, actuals, origins_between
from forecaster.errors import ShapeError, UnknownDemand
from forecaster.features import (
    MAX_SCALES_AHEAD,
    build_windows,
    gather_windows,
    is_readable,
    n_features,
    schedule_effects,
    summarise,
    token_features,
    window_offsets,
)
from forecaster.metrics import crps_of_quantiles
from forecaster.training.fit import fit
from forecaster.types import F32, Series, Windows
from tests.unit.forecaster.conftest import STEP_S, small_config

WINDOW = WindowConfig(context=48, horizon=4, recent=24, season_past=6)
NAMES, LEVELS = ("request_rate_rps", "campaign", "gpu_duty_ratio"), (1, 1, 3)
FLAG = 1
ORIGIN = 299


def scheduled(
    seed: int, n_steps: int = 400, *, effect: float = 2.0, is_known: bool = True
) -> Series:
    """Demand = noise + effect x campaign; campaigns of two steps begin at random."""
    rng = np.random.default_rng(seed)
    starts = rng.random(n_steps) < 0.08
    campaign = starts | np.roll(starts, 1)
    noise = np.zeros(n_steps)
    for t in range(1, n_steps):
        noise[t] = 0.7 * noise[t - 1] + rng.normal(0, 0.1)
    demand = np.maximum(2 + noise + effect * campaign, 0) * 10.0 ** (seed % 3)
    values = np.stack([demand, campaign, demand / 500], axis=1).astype(np.float32)
    observed = np.ones(values.shape, dtype=bool)
    known_ahead = (False, is_known, False)
    return Series(f"w{seed}", values, observed, NAMES, LEVELS, 0, 0, STEP_S, known_ahead)


def windows_at(series: Series, position: int = ORIGIN, window: WindowConfig = WINDOW) -> Windows:
    return gather_windows([series], np.array([0]), np.array([position]), window)


def features(windows: Windows) -> F32:
    return token_features(windows, summarise(windows, WINDOW.quantile_levels), WINDOW)


def test_the_horizon_of_an_indicator_known_ahead_is_read() -> None:
    series = scheduled(0)
    windows = windows_at(series)
    expected = series.values[ORIGIN + 1 : ORIGIN + 5, FLAG]
    assert windows.future_values[0, :, FLAG].tolist() == expected.tolist()
    assert windows.future_observed[0].tolist() == [[False, True, False]] * 4
    assert windows.known_ahead.tolist() == [[False, True, False]]
    assert windows.rows([0]).future_values.tolist() == windows.future_values.tolist()


def test_past_the_end_of_a_schedule_nothing_is_known() -> None:
    series = scheduled(0)
    assert not build_windows([series], WINDOW).future_observed.any()
    windows = windows_at(series, series.n_steps - 3)
    assert windows.future_observed[0, :, FLAG].tolist() == [True, True, False, False]
    assert not windows.future_values[0, 2:].any()


@pytest.mark.parametrize("lag_s", [86_400, 2 * STEP_S])
def test_the_future_of_all_others_changes_nothing(lag_s: int) -> None:
    window = replace(WINDOW, season_lags_s=(lag_s,))
    series = scheduled(0)
    values = series.values.copy()
    values[ORIGIN + 1 :, [0, 2]] = 1e6
    changed = replace(series, values=values)
    before, after = windows_at(series, window=window), windows_at(changed, window=window)
    for name in ("values", "season_values", "season_observed", "future_values", "future_observed"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    values[ORIGIN + 1 :, FLAG] += 1
    after = windows_at(replace(series, values=values), window=window)
    assert np.array_equal(before.season_values, after.season_values)
    assert not np.array_equal(before.future_values, after.future_values)


def test_what_is_not_flagged_is_read_as_before() -> None:
    known, unknown = scheduled(0), scheduled(0, is_known=False)
    assert replace(unknown, known_ahead=()).known_ahead == (False, False, False)
    windows = windows_at(unknown)
    assert not windows.future_observed.any()
    assert not windows.future_values.any()
    assert np.array_equal(windows.values, windows_at(known).values)


def test_what_may_be_read_is_the_past_and_the_horizon_of_the_schedule() -> None:
    window = replace(WINDOW, season_lags_s=(2 * STEP_S,))
    offsets = window_offsets(window, STEP_S)
    readable = is_readable(offsets, (False, True), window)
    assert offsets[readable[:, 0]].max() == 0
    assert offsets[readable[:, 1]].tolist()[-4:] == [1, 2, 3, 4]
    assert (offsets[readable[:, 1]] > 0).sum() == 4


def test_padding_is_never_known_ahead() -> None:
    narrow = Series("n", np.ones((400, 1)), np.ones((400, 1), bool), ("a",), (1,), 0, 0, STEP_S)
    windows = gather_windows(
        [narrow, scheduled(0)], np.array([0, 1]), np.array([ORIGIN, ORIGIN]), WINDOW
    )
    assert windows.known_ahead.tolist() == [[False] * 3, [False, True, False]]
    assert not windows.future_observed[0].any()
    assert not features(windows)[0, 1:].any()


def test_a_demand_known_ahead_is_refused() -> None:
    with pytest.raises(UnknownDemand, match=r"known_ahead=.*'request_rate_rps'"):
        replace(scheduled(0), known_ahead=(True, False, False))
    windows = windows_at(scheduled(0))
    with pytest.raises(UnknownDemand, match=r"known_ahead of 'w0'.*demand_index=1"):
        replace(windows, demand_index=np.array([1]))


def test_wrong_shapes_and_leaks_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"known_ahead=.*3 flags"):
        replace(scheduled(0), known_ahead=(False, True))
    windows = windows_at(scheduled(0))
    with pytest.raises(ShapeError, match="future_values"):
        replace(windows, future_values=windows.future_values[:, :, :2])
    with pytest.raises(ShapeError, match="future_values"):
        replace(
            windows,
            future_values=np.zeros((1, 10, 3), np.float32),
            future_observed=np.zeros((1, 10, 3), bool),
        )
    with pytest.raises(ShapeError, match="known_ahead has shape"):
        replace(windows, known_ahead=np.zeros((1, 2), bool))
    with pytest.raises(ShapeError, match="4 steps of indicators that are not known_ahead"):
        replace(windows, future_observed=np.array([[[False, True, True]] * 4]))


def test_heads_and_windows_without_a_future_keep_working() -> None:
    assert scheduled(0).head(50).known_ahead == (False, True, False)
    one = windows_at(scheduled(0))
    plain = Windows(
        one.workloads, one.indicators, one.values, one.observed, one.season_values,
        one.season_observed, one.levels, one.demand_index, one.origin_s, one.step_s,
    )  # fmt: skip
    assert plain.future_values.shape == (1, 0, 3)
    assert plain.known_ahead.tolist() == [[False] * 3]
    assert features(plain).shape == features(one).shape == (1, 3, n_features(WINDOW))


def ahead_columns() -> slice:
    """Where the features of the horizon lie: found by changing them."""
    series = scheduled(0)
    values = series.values.copy()
    values[ORIGIN + 1 : ORIGIN + 5, FLAG] = [1, 0, 1, 0]
    low = features(windows_at(replace(series, values=values)))
    values[ORIGIN + 1 : ORIGIN + 5, FLAG] = 1 - values[ORIGIN + 1 : ORIGIN + 5, FLAG]
    high = features(windows_at(replace(series, values=values)))
    (where,) = np.nonzero(low[0, FLAG] != high[0, FLAG])
    assert where.size == 4 == where[-1] - where[0] + 1
    return slice(int(where[0]), int(where[-1]) + 1)


def test_features_tell_when_the_campaign_is_and_how_much_is_known() -> None:
    at = ahead_columns()
    series = scheduled(0)
    values = series.values.copy()
    values[ORIGIN + 1 : ORIGIN + 5, FLAG] = [0, 1, 1, 0]
    tokens = features(windows_at(replace(series, values=values)))
    assert (tokens[0, FLAG, at] > 0).tolist() == [False, True, True, False]
    assert tokens[0, FLAG, at.stop] == 1
    observed = series.observed.copy()
    observed[ORIGIN + 3 :, FLAG] = False
    tokens = features(windows_at(replace(series, values=values, observed=observed)))
    assert (tokens[0, FLAG, at] > 0).tolist() == [False, True, False, False]
    assert tokens[0, FLAG, at.stop] == 0.5


def test_the_demand_is_told_what_the_schedule_will_change() -> None:
    at = ahead_columns()
    series = scheduled(0)
    values = series.values.copy()
    values[ORIGIN - 1 : ORIGIN + 5, FLAG] = [0, 0, 0, 1, 1, 0]
    told = features(windows_at(replace(series, values=values)))[0, 0, at]
    assert (told > 0.5).tolist() == [False, True, True, False]
    values[ORIGIN : ORIGIN + 5, FLAG] = [1, 0, 1, 1, 0]
    told = features(windows_at(replace(series, values=values)))[0, 0, at]
    assert (told < -0.5).tolist() == [True, False, False, True]
    unknown = replace(series, values=values, known_ahead=())
    assert not features(windows_at(unknown))[0, :, at].any()


@given(effect=st.floats(-3, 3), slope=st.floats(-1, 1), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_effects_are_found_under_a_slope_and_zero_without_a_change(
    effect: float, slope: float, seed: int
) -> None:
    flags = np.random.default_rng(seed).integers(0, 2, (1, 100, 2)) * 5.0
    steps = np.arange(100)[None, :, None]
    values = effect * flags[..., :1] - flags[..., 1:] + slope * steps + 7
    found = schedule_effects(flags.astype(np.float32), values.astype(np.float32))
    assert found[0, :, 0] == pytest.approx([effect, -1], abs=0.05)
    still = np.full((1, 100, 2), 5, dtype=np.float32)
    assert not schedule_effects(still, values.astype(np.float32)).any()


def test_a_first_campaign_does_not_blow_up_and_looks_like_any_other() -> None:
    """A flag that was zero throughout the context has no scale of its own."""
    at = ahead_columns()
    series = scheduled(0)
    values = series.values.copy()
    values[:, FLAG] = 0
    values[ORIGIN + 2, FLAG] = 1
    first = features(windows_at(replace(series, values=values)))
    values[[ORIGIN - 30, ORIGIN - 10], FLAG] = 1
    later = features(windows_at(replace(series, values=values)))
    limit = np.arcsinh(MAX_SCALES_AHEAD)
    assert first[0, FLAG, at].tolist() == pytest.approx([0, limit, 0, 0])
    assert later[0, FLAG, at].tolist() == pytest.approx(first[0, FLAG, at].tolist())


@given(
    scale=st.floats(1e-3, 1e6),
    ahead=st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4),
    seed=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_features_of_a_schedule_are_bounded_and_scale_equivariant(
    scale: float, ahead: list[float], seed: int
) -> None:
    series = scheduled(seed)
    values = series.values.copy()
    values[ORIGIN + 1 : ORIGIN + 5, FLAG] = ahead
    tokens = features(windows_at(replace(series, values=values)))
    values[:, FLAG] *= np.float32(scale)
    scaled = features(windows_at(replace(series, values=values)))
    at = ahead_columns()
    assert np.abs(tokens[0, FLAG, at]).max() <= np.arcsinh(MAX_SCALES_AHEAD) + 1e-5
    assert np.allclose(tokens[0, FLAG], scaled[0, FLAG], atol=1e-3)


def test_a_schedule_without_a_past_is_not_hidden() -> None:
    series = scheduled(0)
    observed = series.observed.copy()
    observed[: ORIGIN + 1, FLAG] = False
    windows = windows_at(replace(series, observed=observed))
    assert summarise(windows, WINDOW.quantile_levels).has_data[0, FLAG]
    assert np.isfinite(features(windows)).all()


def test_training_shifts_the_load_and_not_the_schedule() -> None:
    series = scheduled(0)
    at = np.arange(100, 350)
    windows = gather_windows([series], np.zeros(at.size, dtype=np.int64), at, WINDOW)
    shifted, factor = shift_level(windows, 1.0, torch.Generator().manual_seed(1))
    assert (factor != 1).all()
    assert np.array_equal(shifted.values[..., FLAG], windows.values[..., FLAG])
    assert (shifted.values[:, -1, 0] != windows.values[:, -1, 0]).all()
    hidden = hide_older(shifted, TrainConfig(), torch.Generator().manual_seed(1))
    assert not hidden.observed.all()
    assert np.array_equal(hidden.future_observed, windows.future_observed)
    assert np.array_equal(hidden.known_ahead, windows.known_ahead)


def held_out_crps(*, is_known: bool) -> tuple[float, float]:
    """CRPS of a small model on steps it has not seen: all, and where a campaign is ahead."""
    config = small_config(epochs=8, max_windows=1500, learning_rate=1e-2)
    series = [scheduled(seed, 800, is_known=is_known) for seed in range(3)]
    model = fit([s.head(640) for s in series], config, seed=3).model
    origins = origins_between(series, config, [640] * 3, [800] * 3)
    windows = gather_windows(series, origins.which, origins.position, config.window)
    targets = windows.demand_index[:, None]
    actual, _ = actuals(series, origins, targets, config.window.horizon)
    quantiles = model.quantiles_of(windows, targets)[:, 0]
    levels = np.array(config.window.quantile_levels)
    loss = crps_of_quantiles(quantiles, levels, actual[:, 0])
    loss /= np.array([10.0**seed for seed in range(3)])[origins.which][:, None]
    return float(loss.mean()), float(loss[campaign_ahead(series, origins)].mean())


def campaign_ahead(series: list[Series], origins: Origins) -> np.ndarray:
    """Origins whose last step holds no campaign while one of the next four does."""
    pairs = zip(origins.which, origins.position, strict=True)
    flags = [series[i].values[k : k + 5, FLAG] for i, k in pairs]
    return np.array([flag[0] == 0 and flag[1:].any() for flag in flags])


@pytest.mark.slow
def test_a_known_schedule_makes_better_forecasts() -> None:
    known, known_ahead = held_out_crps(is_known=True)
    unknown, unknown_ahead = held_out_crps(is_known=False)
    assert known < 0.85 * unknown
    assert known_ahead < 0.75 * unknown_ahead
