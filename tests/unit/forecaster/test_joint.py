"""Joint forecasts over indicators: shapes, absent targets, exact log density, cross dependence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from forecaster.dataset import actuals, split_origins
from forecaster.errors import NoObservations
from forecaster.features import build_windows, gather_windows
from forecaster.joint import JointModel, mean_encoding, named_slots
from forecaster.network.flow import FlowCopula
from forecaster.training.fit import fit
from forecaster.training.flow_fit import fit_flow
from forecaster.types import Series, Windows
from tests.unit.forecaster.conftest import NAMES, make_series, small_config

HORIZON = 4
Held = tuple[Windows, np.ndarray, np.ndarray, np.ndarray]
"""Windows, their targets' columns, what happened and whether it was observed."""


@pytest.fixture(scope="module")
def mixed() -> list[Series]:
    """Two workloads with all three indicators, one with two of them."""
    return [make_series(0), make_series(1), make_series(2, names=NAMES[:2])]


@pytest.fixture(scope="module")
def held(mixed: list[Series]) -> Held:
    """Validation windows with what happened."""
    return windows_of(mixed, 1)


def windows_of(series: list[Series], part: int) -> Held:
    config = small_config(targets="all")
    origins = split_origins(series, config)[part]
    origins = origins.take(np.arange(0, origins.which.size, 2))
    windows = gather_windows(series, origins.which, origins.position, config.window)
    targets = np.broadcast_to(np.arange(3), (len(windows), 3))
    return windows, named_slots(windows, NAMES), *actuals(series, origins, targets, HORIZON)


@pytest.fixture(scope="module")
def joint(mixed: list[Series], held: Held) -> JointModel:
    config = small_config(targets="all", epochs=1)
    model = fit(mixed, config, seed=1).model
    flow = FlowCopula(HORIZON, config.model, torch.Generator().manual_seed(1), len(NAMES))
    found = JointModel(model, flow)
    train, _ = found.scores(*windows_of(mixed, 0))
    fit_flow(flow, train, found.scores(*held)[0], 3, torch.Generator().manual_seed(2))
    flow.requires_grad_(requires_grad=False)
    return found


def test_paths_of_all_targets_have_the_marginals(joint: JointModel, mixed: list[Series]) -> None:
    windows = build_windows(mixed, joint.model.config.window)
    found = joint.predict(windows, named_slots(windows, NAMES), 400, np.random.default_rng(1))
    assert found.paths.shape == (3, 400, 3, HORIZON)
    assert found.present.tolist() == [[True, True, True], [True, True, True], [True, True, False]]
    assert not found.paths[2, :, 2].any()
    levels = joint.model.config.window.quantile_levels
    median = found.quantiles[:, :, levels.index(0.5)]
    assert np.median(found.paths, axis=1) == pytest.approx(median, rel=0.02, abs=1e-3)
    again = joint.predict(windows, named_slots(windows, NAMES), 400, np.random.default_rng(1))
    assert found.paths.tobytes() == again.paths.tobytes()


def test_quantiles_are_the_models(joint: JointModel, mixed: list[Series]) -> None:
    windows = build_windows(mixed[:2], joint.model.config.window)
    found = joint.predict(
        windows, named_slots(windows, NAMES), 2, np.random.default_rng(1)
    ).quantiles
    expected = joint.model.quantiles_of(windows, np.array([[0, 1, 2]] * 2))
    assert found == pytest.approx(np.maximum(expected, 0), rel=1e-5)


def test_dependence_across_targets_is_worth_something(joint: JointModel, held: Held) -> None:
    """The second indicator follows the demand: knowing both at once beats the product."""
    _, marginal = joint.scores(*held)
    assert (joint.log_prob(*held) - marginal.sum(axis=1)).mean() > 1.0


def test_log_density_follows_the_unit(joint: JointModel, held: Held) -> None:
    """A fixed offset in what happened is no change of unit, but an absent target is no term."""
    windows, slots, actual, observed = held
    hidden = observed.copy()
    hidden[:, 1:] = False
    _, marginal = joint.scores(windows, slots, actual, hidden)
    assert not marginal[:, 1:].any()
    shifted = actual.copy()
    shifted[:, 1:] += 5.0
    one = joint.log_prob(windows, slots, actual, hidden)
    assert np.array_equal(one, joint.log_prob(windows, slots, shifted, hidden))


def test_the_density_of_one_target_is_the_models_own_when_nothing_is_dependent(
    joint: JointModel, held: Held
) -> None:
    config = joint.model.config.model
    bare = FlowCopula(HORIZON, config, torch.Generator().manual_seed(1), len(NAMES))
    found = JointModel(joint.model, bare).log_prob(*held)
    _, marginal = joint.scores(*held)
    assert found == pytest.approx(marginal.sum(axis=1), abs=1e-3)


def test_a_window_without_any_target_is_refused(joint: JointModel, mixed: list[Series]) -> None:
    windows = build_windows(mixed[:1], joint.model.config.window)
    slots = named_slots(windows, ("nothing_like_it",) * 3)
    with pytest.raises(NoObservations, match="w0"):
        joint.predict(windows, slots, 2, np.random.default_rng(1))
    assert math.isfinite(float(joint.flow.log_scale.sum()))


def test_what_nobody_reads_changes_nothing_that_is_read(
    joint: JointModel, mixed: list[Series]
) -> None:
    windows = build_windows(mixed, joint.model.config.window)
    slots = named_slots(windows, NAMES)
    whole = joint.sample(windows, slots, 10, np.random.default_rng(1))
    rest = joint.sample(windows, slots, 10, np.random.default_rng(1), n_skipped=1)
    assert np.array_equal(whole.scores, rest.scores)
    assert np.array_equal(whole.quantiles[:, 1:], rest.quantiles[:, 1:])
    assert not whole.quantiles[2, 2].any()


def test_targets_that_are_absent_do_not_enter_the_mean() -> None:
    encoding = torch.tensor([[[1.0], [3.0], [100.0]], [[5.0], [7.0], [9.0]]])
    present = torch.tensor([[True, True, False], [False, False, True]])
    assert mean_encoding(encoding, present).tolist() == [[2.0], [9.0]]
