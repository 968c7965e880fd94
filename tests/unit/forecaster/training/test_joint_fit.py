"""The joint flow of a fit: when there is one, what it is worth, stored, and gone on with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from forecaster.dataset import make_examples, split_origins
from forecaster.errors import CheckpointError
from forecaster.features import build_windows
from forecaster.training.checkpoint import model_from_bytes, model_to_bytes
from forecaster.training.fit import FitProgress, FitResult, fit
from forecaster.training.joint_fit import JOINT_FLOW, load_scores, start_joint
from forecaster.training.stages import scores_of
from forecaster.types import Series
from tests.unit.forecaster.conftest import make_loaded, small_config

CONFIG = small_config(epochs=1, flow_epochs=2, max_windows=300, max_validation_windows=120)
SEED = 3


@pytest.fixture(scope="module")
def whole(loaded: list[Series]) -> tuple[FitResult, list[bytes]]:
    """A training without interruption, and its state after every epoch."""
    states: list[bytes] = []
    return fit(loaded, CONFIG, SEED, on_checkpoint=states.append), states


def test_the_report_says_what_knowing_all_loads_at_once_is_worth(fitted_jointly: FitResult) -> None:
    report = fitted_jointly.report.joint
    assert report is not None
    assert report.further == ("input_tps", "output_tps")
    assert 0 < report.n_windows <= fitted_jointly.report.n_windows
    assert report.over_gaussian >= 0
    # A correlation of 0.9 at each of four steps: over half a nat a step and pair.
    assert report.over_independent > 1
    assert set(fitted_jointly.report.crps_by_workload) == {"w0", "w1", "w2", "w3"}


def test_a_fleet_without_further_loads_knows_nothing_of_them(loaded: list[Series]) -> None:
    """One target per window, one flow, and a checkpoint with the parts that it always had."""
    plain = [replace(one, further=()) for one in loaded]
    result = fit(plain, CONFIG, SEED)
    assert result.report.joint is None
    assert result.model.joint is None
    assert {line.stage for line in result.report.history} == {"marginals", "flow", "trees"}
    raw = model_to_bytes(result.model)
    assert b"joint" not in raw
    own = set(result.model.net.state_dict())
    assert {name for name in safetensors.torch.load(raw) if not name.startswith("trees.")} == own
    examples = make_examples(
        plain, split_origins(plain, CONFIG)[1], CONFIG, result.model.vocabulary
    )
    assert examples.actual.shape[1] == 1


def test_the_demands_own_flow_is_of_the_demand_alone(loaded: list[Series]) -> None:
    """What it is fitted to are the scores of the first target, however many there are."""
    result = fit(loaded, CONFIG, SEED, on_progress=lambda line: line.stage != "flow")
    model = result.model
    held = make_examples(loaded, split_origins(loaded, CONFIG)[1], CONFIG, model.vocabulary)
    levels = np.array(CONFIG.window.quantile_levels)
    alone = replace(held, actual=held.actual[:, :1], weight=held.weight[:, :1])
    of_demand = scores_of(model.net, held, levels, 1)
    assert len(of_demand) == int((alone.weight > 0).all(dim=2).sum())
    assert len(scores_of(model.net, held, levels)) > len(of_demand)


def test_a_checkpoint_gives_the_same_joint_flow(fitted_jointly: FitResult) -> None:
    raw = model_to_bytes(fitted_jointly.model)
    loaded = model_from_bytes(raw)
    joint, first = loaded.joint, fitted_jointly.model.joint
    assert joint is not None
    assert first is not None
    assert joint.further == first.further
    for name, tensor in first.flow.state_dict().items():
        assert torch.equal(tensor, joint.flow.state_dict()[name])
    assert not any(p.requires_grad for p in joint.flow.parameters())
    assert model_to_bytes(loaded) == raw
    alone = replace(fitted_jointly.model, joint=None)
    assert model_from_bytes(model_to_bytes(alone)).joint is None
    assert loaded.n_parameters > alone.n_parameters


def test_a_checkpoint_whose_joint_flow_does_not_fit_is_refused(fitted_jointly: FitResult) -> None:
    raw = model_to_bytes(fitted_jointly.model).replace(b'\\"checksum', b'\\"unlooked')
    names = b'\\"joint\\": [\\"input_tps\\", \\"output_tps\\"]'
    assert raw.count(names) == 1
    other = names.replace(b'\\", \\"', b"______")
    with pytest.raises(CheckpointError, match="does not fit"):
        model_from_bytes(raw.replace(names, other))


@pytest.mark.slow
def test_resumed_after_any_epoch_it_ends_with_the_same_bytes(
    whole: tuple[FitResult, list[bytes]], loaded: list[Series]
) -> None:
    first, states = whole
    stages = [line.stage for line in first.report.history if line.stage != "trees"]
    assert stages == ["marginals", "flow", "flow", JOINT_FLOW, JOINT_FLOW]
    for at in (1, 2, 3, 4):
        lines: list[FitProgress] = []
        again = fit(loaded, CONFIG, SEED, resume=states[at], on_progress=lines.append)
        assert [one.stage for one in lines if one.stage != "trees"] == stages[at + 1 :]
        assert model_to_bytes(again.model) == model_to_bytes(first.model)
        assert again.report == first.report


def test_same_seed_same_bytes(whole: tuple[FitResult, list[bytes]], loaded: list[Series]) -> None:
    assert model_to_bytes(fit(loaded, CONFIG, SEED).model) == model_to_bytes(whole[0].model)


def test_without_windows_that_show_two_loads_there_is_no_joint_flow() -> None:
    one = make_loaded(0, further=(1,))
    seen = one.observed.copy()
    seen[:, 1] = np.arange(one.n_steps) % 3 == 0
    result = fit([replace(one, observed=seen)], CONFIG, SEED)
    assert result.report.joint is None
    assert result.model.joint is None
    # Its marginals were learned all the same.
    windows = build_windows([one], CONFIG.window)
    assert np.isfinite(result.model.quantiles_of(windows, np.array([[0, 1]]))).all()


def test_scores_are_of_windows_that_show_at_least_two_loads(
    loaded: list[Series], fitted_jointly: FitResult
) -> None:
    model, config = fitted_jointly.model, fitted_jointly.model.config
    origins = split_origins(loaded, config)[1]
    examples = make_examples(loaded, origins, config, model.vocabulary)
    levels = np.array(config.window.quantile_levels)
    found = load_scores(model.net, examples, levels, 3)
    assert found is not None
    assert found.present is not None
    # Not one window of the workload without further loads; one load is missing in another.
    assert len(found) == int((origins.which < 3).sum())
    sets = {tuple(row) for row in found.present.tolist()}
    assert sets == {(True, True, True), (True, False, True)}
    flow, apart = start_joint(found, config, 3, SEED)
    own = (flow.cholesky @ flow.cholesky.T)[:4, :4]
    assert torch.allclose((apart.cholesky @ apart.cholesky.T)[:4, :4], own, atol=1e-5)
    assert not (apart.cholesky @ apart.cholesky.T)[4:, :4].any()
