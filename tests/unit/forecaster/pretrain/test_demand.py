"""Made-up demand: of its seed, of many kinds, and such that a network can be trained on it."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.dataset import is_trainable
from forecaster.pretrain.demand import INDICATOR, STEPS_S, coarser, made_up_demand
from forecaster.pretrain.prior import prior_config
from forecaster.training.resume import data_digest
from forecaster.types import Series


@pytest.fixture(scope="module")
def made_up() -> list[Series]:
    return made_up_demand(80, 5)


def test_same_seed_same_bytes_and_a_longer_list_begins_with_the_shorter(
    made_up: list[Series],
) -> None:
    assert data_digest(made_up_demand(80, 5)) == data_digest(made_up)
    assert data_digest(made_up_demand(80, 6)) != data_digest(made_up)
    fewer = {s.workload: s for s in made_up_demand(20, 5)}
    assert data_digest([s for s in made_up if s.workload in fewer]) == data_digest(
        list(fewer.values())
    )


def test_every_history_is_a_demand_alone_on_a_known_step(made_up: list[Series]) -> None:
    assert {s.indicators for s in made_up} == {(INDICATOR,)}
    assert {s.step_s for s in made_up} == set(STEPS_S)
    assert [s.step_s for s in made_up] == sorted(s.step_s for s in made_up)
    for one in made_up:
        assert np.isfinite(one.values).all()
        assert (one.values >= 0).all()
        assert 400 <= one.n_steps <= 6000


def test_most_can_be_trained_on_and_they_differ(made_up: list[Series]) -> None:
    usable = [s for s in made_up if is_trainable(s, prior_config())]
    assert len(usable) > 70
    moves = []
    for one in usable:
        values = one.values[one.observed[:, 0], 0]
        spread = np.abs(values - np.median(values)).mean()
        moves.append(np.abs(np.diff(values)).mean() / max(spread, 1e-9))
    assert min(moves) < 0.1  # smooth
    assert max(moves) > 0.8  # noise


def test_a_coarser_history_is_the_mean_of_what_was_seen() -> None:
    values = np.arange(13, dtype=np.float32)[:, None]
    observed = np.ones((13, 1), dtype=bool)
    observed[[4, 9, 10], 0] = False
    one = Series("w", values, observed, ("demand",), (1,), 0, 240, 60)
    found = coarser(one, 180)  # 240 s is off its grid: the first two steps are left out
    assert (found.start_s, found.step_s, found.n_steps) == (360, 180, 3)
    np.testing.assert_allclose(found.values[:2, 0], [(2 + 3) / 2, 6])
    assert found.observed[:, 0].tolist() == [True, True, False]
