from __future__ import annotations

import numpy as np
import pytest
import torch

from forecaster.augment import MAX_LOG_SHIFT, disturb, hide_older, shift_level
from forecaster.config import TrainConfig, WindowConfig
from forecaster.dataset import make_examples, split_origins
from forecaster.features import build_windows
from forecaster.network.model import net_inputs
from forecaster.training.fit import FitResult
from forecaster.types import Series, Windows

WINDOW = WindowConfig(context=48, horizon=4, recent=24, season_past=6)


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def windows(fleet: list[Series]) -> Windows:
    one = build_windows(fleet, WINDOW)
    return one.rows(np.arange(600) % len(one))


def test_a_shift_multiplies_a_tail_of_the_context_by_the_factor(windows: Windows) -> None:
    shifted, factor = shift_level(windows, 0.5, generator())
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(windows.values > 0, shifted.values / windows.values, np.nan)
    is_changed = factor != 1
    assert 0.4 < is_changed.mean() < 0.6
    for row in np.flatnonzero(is_changed)[:50]:
        by_step = np.nanmax(ratio[row], axis=1)
        n_after = int(np.isclose(by_step, factor[row], rtol=1e-4).sum())
        np.testing.assert_allclose(by_step[-n_after:], factor[row], rtol=1e-4)
        np.testing.assert_allclose(by_step[:-n_after], 1, rtol=1e-4)
    assert np.abs(np.log(factor)).max() <= MAX_LOG_SHIFT
    np.testing.assert_array_equal(shifted.values[~is_changed], windows.values[~is_changed])


def test_the_last_step_is_always_on_the_new_level(windows: Windows) -> None:
    shifted, factor = shift_level(windows, 1.0, generator())
    np.testing.assert_allclose(
        shifted.values[:, -1], windows.values[:, -1] * factor[:, None], rtol=1e-5
    )


def test_no_share_no_change(windows: Windows) -> None:
    shifted, factor = shift_level(windows, 0.0, generator())
    np.testing.assert_array_equal(shifted.values, windows.values)
    assert (factor == 1).all()


def test_the_outcome_moves_with_the_context(fleet: list[Series], fitted: FitResult) -> None:
    """A flat line shifted in the context is followed by a flat line at the new level."""
    from dataclasses import replace

    config = fitted.model.config
    flat = replace(fleet[0], values=np.full_like(fleet[0].values, 5.0))
    setting = replace(config, train=replace(config.train, shift_share=1.0))
    origins, _ = split_origins([flat], setting)
    found = make_examples([flat], origins, setting, fitted.model.vocabulary, generator())
    inputs = found.inputs
    actual = found.actual * inputs.scale[..., None] + inputs.location[..., None]
    last = inputs.points[:, :, 0] * inputs.scale[..., None] + inputs.location[..., None]
    np.testing.assert_allclose(actual.numpy(), last.numpy(), rtol=1e-3)
    assert float(actual.std()) > 1


def test_hidden_contexts_keep_a_recent_part_with_demand(windows: Windows) -> None:
    hidden = hide_older(windows, TrainConfig(), generator())
    is_cold = hidden.observed.sum(axis=(1, 2)) < windows.observed.sum(axis=(1, 2))
    assert 0.01 < is_cold.mean() < 0.12
    assert hidden.demand()[1][:, -24:].any(axis=1).all()
    assert not hidden.season_observed[is_cold].any()


def test_disturbing_hides_other_indicators_but_never_the_target(
    windows: Windows, fitted: FitResult
) -> None:
    inputs = net_inputs(windows, fitted.model.config, fitted.model.vocabulary)
    before = inputs.tokens.clone()
    disturb(inputs, TrainConfig(indicator_dropout=0.5), generator())
    assert inputs.has_data[:, 0].all()
    assert 0.4 < float(inputs.has_data[:, 1].double().mean()) < 0.6
    assert float((inputs.tokens == 0).double().mean()) > 0.08
    assert not torch.equal(inputs.tokens, before)


def test_nothing_is_disturbed_when_all_shares_are_zero(windows: Windows, fitted: FitResult) -> None:
    inputs = net_inputs(windows, fitted.model.config, fitted.model.vocabulary)
    before = inputs.tokens.clone()
    setting = TrainConfig(
        workload_dropout=0, input_dropout=0, input_noise=0, indicator_dropout=0, dropout=0
    )
    disturb(inputs, setting, generator())
    assert torch.equal(inputs.tokens, before)
