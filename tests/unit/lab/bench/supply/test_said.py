"""Forecasts of a replay: made by the prior, in time order, with what is learned from them."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.supply.said import N_PATHS, said_of
from tests.unit.lab.bench.supply.small import task


@pytest.mark.slow
def test_forecasts_know_nothing_of_what_has_not_happened() -> None:
    given = task(35.0, 5.0, n_replay=4)
    changed = task(35.0, 5.0, n_replay=4)
    for array in (changed.fleet.demand, changed.fleet.values, changed.seen):
        array[:, -2:] *= 3.0
    one, other = (said_of(each, lambda _: None) for each in (given, changed))
    assert one.paths.shape == (4, 2, N_PATHS, 12)
    assert np.array_equal(one.paths[:3], other.paths[:3])
    assert not np.array_equal(one.paths[3], other.paths[3])


def test_what_is_learned_and_told_is_there_at_every_step() -> None:
    found = said_of(task(35.0, 5.0, n_replay=3), lambda _: None)
    assert found.rungs == (("prior", "prior"),) * 3
    assert found.dependence.tolist() == [0.5] * 3  # nothing was seen before the first hour
    (law, _) = found.laws(2)
    assert law.values.shape == (found.levels.size, 12)
    assert (np.diff(law.values, axis=0) >= 0).all()
