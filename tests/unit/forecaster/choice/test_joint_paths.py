"""Joint paths: values stay what they were, loads go together, and who cannot be answered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecaster.choice.baselines import BestSimple
from forecaster.choice.joint_paths import JointPaths, dealt, joint_paths
from forecaster.choice.ladder import Ladder
from forecaster.errors import ShapeError
from forecaster.features import build_windows
from forecaster.predict import TrainedModel
from forecaster.training.checkpoint import model_from_bytes, model_to_bytes
from forecaster.training.fit import FitResult
from forecaster.types import Forecast, Series, Windows
from tests.unit.forecaster.conftest import NAMES

FURTHER = (NAMES[1:], (), NAMES[1:2])
HORIZON = 3


@pytest.fixture
def windows(fitted: FitResult, fleet: list[Series]) -> Windows:
    return build_windows(fleet, fitted.model.config.window)


def forecast_of(ladder: Ladder, windows: Windows) -> Forecast:
    found = ladder.predict(windows, HORIZON, 20, np.random.default_rng(1)).forecast
    assert found is not None
    return found


@pytest.mark.parametrize("has_model", [True, False])
def test_without_a_joint_law_further_loads_rank_as_the_demand(
    fitted: FitResult, windows: Windows, rng: np.random.Generator, has_model: bool
) -> None:
    ladder = Ladder(fitted.model if has_model else None, BestSimple({}, fitted.model.config.window))
    forecast = forecast_of(ladder, windows)
    first, none, last = joint_paths(ladder, windows, FURTHER, forecast, rng)
    assert none is None
    assert first is not None
    assert last is not None
    assert first.further.shape == (2, 20, HORIZON)
    assert last.further.shape == (1, 20, HORIZON)
    for one, row in ((first, 0), (last, 2)):
        assert not one.is_joint
        assert np.array_equal(one.demand, forecast.paths[row])
        order = np.argsort(one.demand, axis=0)[None]
        assert (np.diff(np.take_along_axis(one.further, order, axis=1), axis=1) >= 0).all()


def test_a_further_load_that_was_never_seen_is_unknown_and_harms_no_other(
    fitted: FitResult, windows: Windows
) -> None:
    ladder = Ladder(fitted.model, BestSimple({}, fitted.model.config.window))
    observed = windows.observed.copy()
    observed[0, :, 2] = False
    hidden = replace(windows, observed=observed)
    forecast = forecast_of(ladder, hidden)
    found = joint_paths(ladder, hidden, FURTHER, forecast, np.random.default_rng(1))
    assert found[0] is None
    assert found[2] is not None
    unknown = (("nothing_like_it",), *FURTHER[1:])
    assert joint_paths(ladder, hidden, unknown, forecast, np.random.default_rng(1))[0] is None


def test_other_rows_are_refused(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    ladder = Ladder(fitted.model, BestSimple({}, fitted.model.config.window))
    forecast = forecast_of(ladder, windows)
    with pytest.raises(ShapeError, match="3 windows, 1 sets"):
        joint_paths(ladder, windows, FURTHER[:1], forecast, rng)


@pytest.fixture(scope="module")
def ladder(fitted_jointly: FitResult) -> Ladder:
    return Ladder(fitted_jointly.model, BestSimple({}, fitted_jointly.model.config.window))


LOADS = (("input_tps", "output_tps"), ("output_tps", "input_tps"), ("output_tps",), ())


def answered(
    ladder: Ladder, windows: Windows, further: tuple, n_paths: int = 400, horizon: int = 4
) -> tuple[Forecast, tuple[JointPaths | None, ...]]:
    forecast = ladder.predict(windows, horizon, n_paths, np.random.default_rng(1)).forecast
    assert forecast is not None
    return forecast, joint_paths(ladder, windows, further, forecast, np.random.default_rng(2))


def test_loads_that_are_shaken_together_are_so_in_the_paths(
    ladder: Ladder, loaded: list[Series]
) -> None:
    """Shocks correlate by 0.9 with one further load and by -0.9 with the other, step by step."""
    windows = build_windows(loaded, ladder.simple.window)
    _, found = answered(ladder, windows, LOADS, 1000)
    assert [one is not None and one.is_joint for one in found] == [True, True, True, False]
    assert found[3] is None
    for one, names in zip(found[:3], LOADS, strict=False):
        assert one is not None
        for name, values in zip(names, one.further, strict=True):
            sign, low = (1, 0.7) if name == "input_tps" else (-1, 0.4)
            for step in range(4):
                rho = np.corrcoef(one.demand[:, step], values[:, step])[0, 1]
                assert low < sign * rho < 0.97
                apart = np.corrcoef(one.demand[:, step], values[:, (step + 2) % 4])[0, 1]
                assert abs(apart) < 0.35


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_laws_of_joint_paths(data: st.DataObject, ladder: Ladder, loaded: list[Series]) -> None:
    """Whatever rows, loads, steps and paths: the demand is dealt anew, nothing is made up."""
    rows = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
    n_paths, horizon = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 4))
    names = st.lists(st.sampled_from(LOADS[0]), unique=True).map(tuple)
    further = tuple(data.draw(names) for _ in rows)
    has_flow = data.draw(st.booleans())
    if not has_flow:
        ladder = replace(ladder, model=data.draw(st.sampled_from([None, without_flow(ladder)])))
    windows = build_windows([loaded[i] for i in rows], ladder.simple.window)
    forecast, found = answered(ladder, windows, further, n_paths, horizon)
    reverse = tuple(own[::-1] for own in further)
    turned = joint_paths(ladder, windows, reverse, forecast, np.random.default_rng(2))
    for i, (one, other) in enumerate(zip(found, turned, strict=True)):
        assert (one is None) == (not further[i]) == (other is None)
        if one is None or other is None:
            continue
        assert one.is_joint == has_flow
        assert one.further.shape == (len(further[i]), n_paths, horizon)
        assert one.further.dtype == one.demand.dtype == np.float32
        assert (one.further >= 0).all()
        assert np.array_equal(np.sort(one.demand, axis=0), np.sort(forecast.paths[i], axis=0))
        # The order in which loads are named says only where they stand; the same draws, the same.
        assert one.demand.tobytes() == other.demand.tobytes()
        # In another order a batch may be computed with other roundings of single precision.
        assert np.allclose(one.further, other.further[::-1], rtol=1e-6, atol=0)


def without_flow(ladder: Ladder) -> TrainedModel:
    assert ladder.model is not None
    return replace(ladder.model, joint=None)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), n_paths=st.integers(1, 20), horizon=st.integers(1, 5))
def test_values_are_dealt_out_by_rank(seed: int, n_paths: int, horizon: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, (3, n_paths, horizon)).astype(np.float32)
    scores = rng.normal(size=values.shape).astype(np.float32)
    found = dealt(values, scores)
    assert np.array_equal(np.sort(found, axis=1), np.sort(values, axis=1))
    order = np.argsort(scores, axis=1)
    assert (np.diff(np.take_along_axis(found, order, axis=1), axis=1) >= 0).all()


def test_further_loads_have_the_models_own_quantiles(ladder: Ladder, loaded: list[Series]) -> None:
    windows = build_windows(loaded, ladder.simple.window)
    _, found = answered(ladder, windows, LOADS, 1000)
    assert ladder.model is not None
    levels = ladder.simple.window.quantile_levels
    targets = np.tile(np.array([1, 2]), (4, 1))
    median = ladder.model.quantiles_of(windows, targets)[:, :, levels.index(0.5)]
    one = found[1]
    assert one is not None
    assert np.median(one.further, axis=1) == pytest.approx(median[1][::-1], rel=0.02)


def test_stale_or_short_loads_and_unknown_names_are_ranked_with_the_demand(
    ladder: Ladder, loaded: list[Series]
) -> None:
    windows = build_windows(loaded, ladder.simple.window)
    observed = windows.observed.copy()
    observed[0, -6:, 1] = False
    observed[1, :-6, 2] = False
    hidden = replace(windows, observed=observed)
    _, found = answered(ladder, hidden, LOADS, 50)
    assert [one is not None and one.is_joint for one in found] == [False, False, True, False]
    assert ladder.model is not None
    assert ladder.model.joint is not None
    fewer = replace(ladder.model.joint, further=("other", "output_tps"))
    forgetful = replace(ladder, model=replace(ladder.model, joint=fewer))
    _, found = answered(forgetful, windows, LOADS, 50)
    assert [one is not None and one.is_joint for one in found] == [False, False, True, False]


def test_rows_that_are_not_finite_are_answered_otherwise(
    ladder: Ladder, loaded: list[Series]
) -> None:
    """A joint flow that is broken takes nothing with it: the model's marginals answer."""
    assert ladder.model is not None
    raw = model_from_bytes(model_to_bytes(ladder.model))
    assert raw.joint is not None
    with torch.no_grad():
        raw.joint.flow.log_scale.fill_(float("nan"))
    windows = build_windows(loaded, ladder.simple.window)
    _, found = answered(replace(ladder, model=raw), windows, LOADS, 20)
    for one in found[:3]:
        assert one is not None
        assert not one.is_joint
        assert np.isfinite(one.further).all()
        assert np.isfinite(one.demand).all()


def test_same_draws_same_paths(ladder: Ladder, loaded: list[Series]) -> None:
    windows = build_windows(loaded, ladder.simple.window)
    first, again = (answered(ladder, windows, LOADS, 30)[1] for _ in range(2))
    for one, other in zip(first[:3], again[:3], strict=True):
        assert one is not None
        assert other is not None
        assert one.demand.tobytes() == other.demand.tobytes()
        assert one.further.tobytes() == other.further.tobytes()
