"""A training run: which origins it learns from, and what it leaves behind."""

from __future__ import annotations

import numpy as np
import torch

from forecaster.dataset import Origins
from forecaster.network.model import Vocabulary
from forecaster.training.trainer import Trainer, chosen_at_random
from forecaster.types import Series
from tests.unit.forecaster.conftest import small_config


def test_origins_are_drawn_without_replacement_and_in_order() -> None:
    origins = Origins(np.zeros(50, dtype=np.int64), np.arange(50))
    found = chosen_at_random(origins, 20, torch.Generator().manual_seed(1))
    assert len(set(found.position.tolist())) == 20
    assert (np.diff(found.position) > 0).all()
    whole = chosen_at_random(origins, 80, torch.Generator().manual_seed(1))
    assert whole.position.tolist() == list(range(50))


def test_only_what_is_chosen_is_learned_from(fleet: list[Series]) -> None:
    def first_series(origins: Origins, n_most: int, _: torch.Generator) -> Origins:
        return origins.take(np.flatnonzero(origins.which == 0)[:n_most])

    names = Vocabulary(("w0", "w1", "w2"), fleet[0].indicators)
    trainer = Trainer(fleet, small_config(epochs=1), 3, "cpu", names, first_series)
    assert set(trainer.train.inputs.workload.tolist()) == {1}
    assert set(trainer.held.which.tolist()) == {0}


def test_a_frozen_network_is_not_trained_on(fleet: list[Series]) -> None:
    trainer = Trainer(fleet, small_config(epochs=1), 3, "cpu", Vocabulary((), ()))
    model = trainer.frozen()
    assert not model.net.training
    assert not any(p.requires_grad for p in model.net.parameters())
    assert (model.trees, model.joint) == (None, None)
