"""Stages of a training: early stops and diverging epochs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from forecaster.errors import TrainingDiverged
from forecaster.network.model import Vocabulary
from forecaster.training.checkpoint import model_to_bytes
from forecaster.training.fit import FitProgress, fit
from forecaster.training.resume import (
    fit_identity,
    state_from_bytes,
)
from forecaster.training.stages import COOLING_EPOCHS, MarginalStage, batches
from forecaster.training.trainer import Trainer
from forecaster.types import Series
from tests.unit.forecaster.conftest import small_config

CONFIG = small_config(epochs=3, flow_epochs=2, max_windows=128, max_validation_windows=100)


SEED = 3


@pytest.mark.slow
def test_an_early_stop_is_remembered(fleet: list[Series]) -> None:
    """A stage that ended early, by patience or by the caller, does not run again."""
    config = small_config(epochs=30, patience=1, flow_epochs=1, learning_rate=0.05, max_windows=128)
    states: list[bytes] = []
    first = fit(fleet, config, SEED, on_checkpoint=states.append)
    identity = fit_identity(fleet, config, SEED)
    ended = [state_from_bytes(raw, identity).is_stage_over for raw in states]
    assert first.report.epochs < 30
    last = states[first.report.epochs - 1]
    assert ended[first.report.epochs - 1]
    assert model_to_bytes(fit(fleet, config, SEED, resume=last).model) == model_to_bytes(
        first.model
    )

    states.clear()
    stopped = fit(fleet, CONFIG, SEED, on_progress=lambda _: False, on_checkpoint=states.append)
    lines: list[FitProgress] = []
    again = fit(
        fleet,
        CONFIG,
        SEED,
        resume=states[0],
        on_progress=lambda line: lines.append(line) or False,
    )
    assert [(line.stage, line.epoch) for line in lines] == [("flow", 1), ("trees", 1)]
    assert model_to_bytes(again.model) == model_to_bytes(stopped.model)


def test_an_exploding_epoch_leaves_the_state_before_it(fleet: list[Series]) -> None:
    """The last state told is of a sane epoch, whatever the one after it did."""
    states: list[bytes] = []
    lines: list[FitProgress] = []
    config = small_config(learning_rate=30.0, epochs=8, patience=8, max_windows=128)
    with pytest.raises(TrainingDiverged, match="the best was"):
        fit(fleet, config, SEED, on_progress=lines.append, on_checkpoint=states.append)
    history = state_from_bytes(states[-1], fit_identity(fleet, config, SEED)).history
    assert len(lines) == 2  # the second one exploded
    assert history == tuple(lines[:1])


def test_the_rate_falls_to_the_end_where_fewer_passes_are_made(fleet: list[Series]) -> None:
    config = small_config(epochs=100, max_windows=128)
    rates: dict[int | None, list[float]] = {}
    for n_epochs in (None, 20):
        trainer = Trainer(fleet, config, SEED, "cpu", Vocabulary((), ()))
        levels, setting = np.array(config.window.quantile_levels), config.train
        stage = MarginalStage(trainer.net, trainer.train, trainer.validation, levels, setting)
        stage.n_epochs = n_epochs or stage.n_epochs
        rates[n_epochs] = []
        for step in range(0, 40, 2):  # two steps in a pass
            stage.n_steps = step
            rates[n_epochs].append(stage._rate())
    assert rates[20][: 20 - COOLING_EPOCHS] == rates[None][: 20 - COOLING_EPOCHS]
    ends = rates[20][20 - COOLING_EPOCHS :]
    assert ends == sorted(ends, reverse=True)
    assert ends[-1] < 0.3 * rates[None][-1]


def test_batches_hold_every_row_once_in_an_order_of_the_generator() -> None:
    def rows(seed: int) -> list[int]:
        parts = list(batches(10, 4, torch.Generator().manual_seed(seed)))
        assert [len(part) for part in parts] == [4, 4, 2]
        return torch.cat(parts).tolist()

    assert sorted(rows(0)) == list(range(10))
    assert rows(0) == rows(0) != rows(1)
