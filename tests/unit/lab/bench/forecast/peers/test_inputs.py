"""Inputs of the peer forecasters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from services.lab.bench.forecast.peers.inputs import (
    FeatureTable,
    MissingLibrary,
    floors,
    library,
    normalised_windows,
    train_origins,
)
from services.lab.bench.forecast.task import Protocol
from tests.unit.lab.bench.forecast.peers.tasks import early, make_task


def test_a_broken_dependency_is_not_called_missing() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        library("json", "nothing")
    assert not isinstance(caught.value, MissingLibrary)


def test_features_are_equivariant_and_mark_the_step() -> None:
    task = make_task(Protocol.PANEL)
    larger = dataclasses.replace(
        task,
        series=tuple(dataclasses.replace(s, values=8 * s.values) for s in task.series),
        units=8 * task.units,
    )
    origins = early(task)
    target = np.zeros(origins.which.size, dtype=np.int64)
    ahead = np.tile(np.array([1, 12]), (target.size, 1))
    small_rows = FeatureTable(task, True).rows(origins, target, ahead)
    large_rows = FeatureTable(larger, True).rows(origins, target, ahead)
    np.testing.assert_allclose(small_rows.features, large_rows.features, atol=2e-3)
    np.testing.assert_allclose(small_rows.weight, large_rows.weight, rtol=1e-5)
    truth = task.truth(origins)
    value = (small_rows.location + small_rows.scale * small_rows.actual).reshape(ahead.shape)
    seen = truth.observed[:, 0][:, [0, 11]]
    np.testing.assert_allclose(
        value[seen], truth.actual[:, 0][:, [0, 11]][seen], rtol=1e-4, atol=1e-3
    )
    assert ((small_rows.weight > 0).reshape(ahead.shape) == seen).all()


def test_the_season_feature_is_the_value_a_day_before_the_step() -> None:
    task = make_task(Protocol.PANEL)
    origins = early(task)
    target = np.zeros(origins.which.size, dtype=np.int64)
    for ahead in (1, 5, 12):
        rows = FeatureTable(task).rows(origins, target, np.full((target.size, 1), ahead))
        at = origins.position + ahead - 24
        series = [task.series[i] for i in origins.which]
        expected = np.array([s.values[t, 0] for s, t in zip(series, at, strict=True)])
        seen = np.array([s.observed[t, 0] for s, t in zip(series, at, strict=True)])
        day_before = rows.features[:, -3 * 6 + 2]  # three seasons of six features, the newest first
        value = rows.location + rows.scale * day_before
        np.testing.assert_allclose(value[seen], expected[seen], rtol=1e-4)
        assert np.isnan(value[~seen]).all()


def test_the_outcome_enters_no_statistic_of_a_window() -> None:
    task = make_task(Protocol.FISHER_H1)
    origins = train_origins(task).take(np.array([0, 60, 400]))
    target = np.zeros(3, dtype=np.int64)
    past = normalised_windows(task, origins, target, 0)
    whole = normalised_windows(task, origins, target, 6)
    np.testing.assert_array_equal(past.scale, whole.scale)
    np.testing.assert_array_equal(past.z, whole.z[:, :144])
    assert not whole.observed[0, :100].any()


def test_floors_are_zero_unless_history_goes_below() -> None:
    task = make_task(Protocol.FISHER_H1)
    values = task.series[0].values.copy()
    values[3, 1] = -2
    below = dataclasses.replace(task.series[0], values=values)
    found = floors(dataclasses.replace(task, series=(below, task.series[1])))
    assert found.tolist() == [[0, -np.inf, 0], [0, 0, 0]]
