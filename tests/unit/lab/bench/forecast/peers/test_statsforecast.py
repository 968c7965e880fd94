"""Filtering and drawing from AutoETS' states, against the library's own forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.forecast.peers.statsforecast import (
    EtsModel,
    _stratified_normals,
    filtered_states,
    simulate,
)

N_STEPS = 120
PERIOD = 6
FORMS = ("ANN", "AAN", "ANA", "AAA", "MNN", "MAN", "MNA", "MAA", "MNM", "MAM")


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    steps = np.arange(N_STEPS)
    wave = 5 * np.sin(2 * np.pi * steps / PERIOD)
    return 20 + wave + np.cumsum(rng.normal(0, 0.2, N_STEPS)) + rng.normal(0, 0.5, N_STEPS)


def fitted(values: np.ndarray, form: str, *, is_damped: bool = False):
    models = pytest.importorskip("statsforecast.models", reason="needs the extra `bench`")
    return models.AutoETS(season_length=PERIOD, model=form, damped=is_damped).fit(values)


@pytest.mark.parametrize("form", FORMS)
def test_without_noise_a_draw_is_the_librarys_mean(form: str, values: np.ndarray) -> None:
    model = fitted(values, form)
    state = filtered_states(EtsModel(model.model_, 0), values, np.array([N_STEPS - 1]))
    drawn = simulate(model.model_, state, np.zeros((1, 2 * PERIOD + 1)))
    np.testing.assert_allclose(drawn[0, 0], model.predict(2 * PERIOD + 1)["mean"], rtol=1e-9)


@pytest.mark.parametrize("form", ["ANN", "AAN", "AAA"])
def test_additive_draws_have_the_librarys_intervals(form: str, values: np.ndarray) -> None:
    model = fitted(values, form)
    state = model.model_["states"][-1:]
    drawn = simulate(model.model_, state, _stratified_normals(4000, 4, np.random.default_rng(1)))
    expected = model.predict(4, level=[90])
    for level, name in ((0.05, "lo-90"), (0.95, "hi-90")):
        gap = np.quantile(drawn[0], level, axis=0) - expected[name]
        assert (np.abs(gap) < 0.05 * drawn[0].std(axis=0)).all()


def test_a_damped_slope_dies_out() -> None:
    description = {"components": "AAND", "par": np.array([0.5, 0.1, np.nan, 0.8]), "sigma2": 0.0}
    drawn = simulate(description, np.array([[10.0, 1.0]]), np.zeros((1, 60)))
    np.testing.assert_allclose(drawn[0, 0, :2], [10.8, 10.8 + 0.64])
    np.testing.assert_allclose(drawn[0, 0, -1], 10 + 0.8 / 0.2, rtol=1e-4)


@pytest.mark.parametrize("form", ["ANN", "AAA", "MNM"])
def test_filtering_forward_is_one_step_at_a_time(form: str, values: np.ndarray) -> None:
    model = fitted(values[:90], form)
    whole = EtsModel(model.model_, 0)
    states = filtered_states(whole, values, np.arange(85, N_STEPS))
    np.testing.assert_allclose(states[4], model.model_["states"][-1], rtol=1e-12)
    for position in (95, N_STEPS - 1):
        alone = filtered_states(whole, values[: position + 1], np.array([position]))
        np.testing.assert_array_equal(alone[0], states[position - 85])


def test_an_origin_before_the_fit_keeps_the_phase(values: np.ndarray) -> None:
    model = fitted(values[3 * PERIOD + 2 :], "ANA")
    late = EtsModel(model.model_, 3 * PERIOD + 2)
    early = filtered_states(late, values, np.array([PERIOD, N_STEPS - 1]))
    wave = simulate(model.model_, early[:1], np.zeros((1, PERIOD)))[0, 0]
    truth = values[PERIOD + 1 : 2 * PERIOD + 1]
    assert np.corrcoef(wave, truth)[0, 1] > 0.9


def test_stratified_normals_hold_the_same_values_at_each_step() -> None:
    noise = _stratified_normals(1001, 5, np.random.default_rng(2))
    ordered = np.sort(noise, axis=0)
    np.testing.assert_array_equal(ordered, np.repeat(ordered[:, :1], 5, axis=1))
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=0.01)
    assert np.abs(np.corrcoef(noise.T)[0, 1:]).max() < 0.15
