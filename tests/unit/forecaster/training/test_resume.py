"""A killed training goes on from any epoch and ends with the bytes it would have had."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from forecaster.errors import CheckpointError, CheckpointVersionError
from forecaster.training.checkpoint import model_from_bytes, model_to_bytes
from forecaster.training.fit import FitProgress, FitResult, fit
from forecaster.training.resume import (
    STATE_VERSION,
    data_digest,
    fit_identity,
    state_from_bytes,
    state_to_bytes,
)
from forecaster.trees.trees import TREE_LEVELS
from forecaster.types import Series
from tests.unit.forecaster.conftest import small_config

CONFIG = small_config(epochs=3, flow_epochs=2, max_windows=128, max_validation_windows=100)


SEED = 3


LEVELS_OF_TREES = [("trees", k + 1) for k in range(len(TREE_LEVELS))]


EPOCHS = [("marginals", 1), ("marginals", 2), ("marginals", 3), ("flow", 1), ("flow", 2)]


@pytest.fixture(scope="module")
def whole(fleet: list[Series]) -> tuple[FitResult, list[bytes]]:
    """A training without interruption, and its state after every epoch."""
    states: list[bytes] = []
    return fit(fleet, CONFIG, SEED, on_checkpoint=states.append), states


def test_a_state_is_told_after_every_epoch_of_both_stages(
    whole: tuple[FitResult, list[bytes]], fleet: list[Series]
) -> None:
    identity = fit_identity(fleet, CONFIG, SEED)
    states = [state_from_bytes(raw, identity) for raw in whole[1]]
    assert [(s.stage, s.epoch) for s in states] == EPOCHS
    assert [s.is_stage_over for s in states] == [False, False, True, False, True]
    assert states[-1].history == whole[0].report.history[: -len(LEVELS_OF_TREES)]
    assert state_to_bytes(states[1], identity) == whole[1][1]


@pytest.mark.parametrize("at", range(len(EPOCHS)), ids=[f"{s} {e}" for s, e in EPOCHS])
def test_resumed_after_any_epoch_it_ends_with_the_same_bytes(
    whole: tuple[FitResult, list[bytes]], fleet: list[Series], at: int
) -> None:
    lines: list[FitProgress] = []
    states: list[bytes] = []
    result = fit(
        fleet,
        CONFIG,
        SEED,
        resume=whole[1][at],
        on_progress=lines.append,
        on_checkpoint=states.append,
    )
    assert [(line.stage, line.epoch) for line in lines] == EPOCHS[at + 1 :] + LEVELS_OF_TREES
    assert model_to_bytes(result.model) == model_to_bytes(whole[0].model)
    assert states == whole[1][at + 1 :]
    assert result.report == whole[0].report


def test_telling_states_changes_nothing(
    whole: tuple[FitResult, list[bytes]], fleet: list[Series]
) -> None:
    assert model_to_bytes(fit(fleet, CONFIG, SEED).model) == model_to_bytes(whole[0].model)


def test_a_state_of_another_fit_is_refused_and_the_difference_named(
    whole: tuple[FitResult, list[bytes]], fleet: list[Series]
) -> None:
    raw = whole[1][0]
    other = replace(CONFIG, train=replace(CONFIG.train, batch=32, epochs=9))
    with pytest.raises(CheckpointError, match=r"train\.batch=64, now 32; train\.epochs=3, now 9"):
        fit(fleet, other, SEED, resume=raw)
    with pytest.raises(CheckpointError, match="seed=3, now 4"):
        fit(fleet, CONFIG, 4, resume=raw)
    values = fleet[1].values.copy()
    values[7, 0] += 1
    changed = [fleet[0], replace(fleet[1], values=values), fleet[2]]
    with pytest.raises(CheckpointError, match=r"data digest [0-9a-f]{16}, now [0-9a-f]{16}"):
        fit(changed, CONFIG, SEED, resume=raw)


def test_damaged_and_foreign_bytes_are_refused(
    whole: tuple[FitResult, list[bytes]], fleet: list[Series]
) -> None:
    result, (raw, *_) = whole
    for bad in (b"", b"nonsense", raw[:100], raw[:-10]):
        with pytest.raises(CheckpointError):
            fit(fleet, CONFIG, SEED, resume=bad)
    with pytest.raises(CheckpointError, match="format='harmony-forecaster'"):
        fit(fleet, CONFIG, SEED, resume=model_to_bytes(result.model))
    with pytest.raises(CheckpointError, match="format='harmony-training'"):
        model_from_bytes(raw)
    mark = f'\\"format_version\\": {STATE_VERSION}'.encode()
    assert raw.count(mark) == 1
    with pytest.raises(CheckpointVersionError, match="format_version=9"):
        fit(fleet, CONFIG, SEED, resume=raw.replace(mark, b'\\"format_version\\": 9'))


def test_the_digest_reads_everything_a_fit_reads(fleet: list[Series]) -> None:
    one = fleet[0]
    hidden = one.observed.copy()
    hidden[3, 2] = False
    seen = {
        data_digest([one]),
        data_digest([one, one]),
        data_digest([replace(one, workload="other")]),
        data_digest([replace(one, indicators=("a", "b", "c"))]),
        data_digest([replace(one, levels=(1, 1, 3))]),
        data_digest([replace(one, demand_index=1)]),
        data_digest([replace(one, start_s=one.step_s)]),
        data_digest([replace(one, known_ahead=(False, False, True))]),
        data_digest([replace(one, further=(1,))]),
        data_digest([replace(one, observed=hidden)]),
        data_digest([one.head(499)]),
    }
    assert len(seen) == 11
    assert data_digest([replace(one, values=one.values.copy())]) in seen


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_fit_on_the_gpu_returns_a_model_on_the_cpu(
    whole: tuple[FitResult, list[bytes]], fleet: list[Series]
) -> None:
    states: list[bytes] = []
    result = fit(fleet, CONFIG, SEED, device="cuda", on_checkpoint=states.append)
    assert {p.device.type for p in result.model.net.parameters()} == {"cpu"}
    assert result.report.crps == pytest.approx(whole[0].report.crps, rel=0.05)
    resumed = fit(fleet, CONFIG, SEED, resume=states[1], device="cuda")
    assert resumed.report.crps == pytest.approx(result.report.crps, rel=0.01)
