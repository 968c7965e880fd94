"""What is refused or masked at the door."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.errors import IrregularSteps, ShapeError, UnknownDemand, UnknownLevel, UnknownLoad
from forecaster.types import Forecast, Series, series_from_rows
from tests.unit.forecaster.conftest import make_series


def series(values: np.ndarray, **changes: object) -> Series:
    fields: dict = {
        "workload": "w",
        "values": values,
        "observed": np.ones(values.shape, dtype=bool),
        "indicators": ("a", "b"),
        "levels": (1, 3),
        "demand_index": 0,
        "start_s": 0,
        "step_s": 60,
    }
    return Series(**{**fields, **changes})


def test_what_cannot_be_a_measurement_is_masked() -> None:
    values = np.array([[1.0, -5.0], [np.nan, 2.0], [np.inf, 1e300], [-1.0, 3.0]])
    one = series(values)
    assert one.observed[:, 0].tolist() == [True, False, False, False]
    assert one.observed[:, 1].tolist() == [True, True, False, True]
    assert np.isfinite(one.values).all()
    assert one.values[0, 1] == -5.0
    assert series(values, further=(1,)).observed[:, 1].tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"levels": (1, 4)}, UnknownLevel, "levels"),
        ({"levels": (1,)}, UnknownLevel, "levels"),
        ({"demand_index": 2}, UnknownDemand, "demand_index=2"),
        ({"further": (0,)}, UnknownLoad, r"further=\(0,\) .* columns of \[1\]"),
        ({"further": (2,)}, UnknownLoad, "further"),
        ({"further": (1, 1)}, UnknownLoad, "different"),
        ({"further": (1,), "known_ahead": (False, True)}, UnknownLoad, "known ahead"),
        ({"step_s": 0}, IrregularSteps, "step_s=0"),
        ({"start_s": 61}, IrregularSteps, "start_s=61"),
        ({"indicators": ("a",)}, ShapeError, "values"),
        ({"observed": np.ones((1, 2), dtype=bool)}, ShapeError, "observed"),
    ],
)
def test_a_wrong_field_is_named(changes: dict, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        series(np.ones((4, 2)), **changes)


@pytest.mark.parametrize("times", [[0, 60, 180], [0, 60, 60], [60, 0, -60], [0]])
def test_an_irregular_grid_is_refused(times: list[int]) -> None:
    values = np.ones((len(times), 1))
    with pytest.raises(IrregularSteps, match="regular grid"):
        series_from_rows("w", times, values, ("a",), (1,), "a")


def test_rows_become_a_series_with_gaps() -> None:
    values = np.array([[1.0], [np.nan], [3.0]])
    one = series_from_rows("w", [60, 120, 180], values, ("a",), (1,), "a")
    assert (one.start_s, one.step_s, one.last_s) == (60, 60, 180)
    assert one.observed[:, 0].tolist() == [True, False, True]
    with pytest.raises(UnknownDemand, match="demand='b'"):
        series_from_rows("w", [60, 120, 180], values, ("a",), (1,), "b")


def test_a_forecast_refuses_nan_and_crossing_quantiles() -> None:
    def forecast(quantiles: np.ndarray) -> Forecast:
        paths = np.zeros((1, 2, quantiles.shape[2]), dtype=np.float32)
        levels = np.array([0.1, 0.9])
        return Forecast(("w",), np.array([0]), 60, levels, quantiles, paths, "m", ("r",), ("",))

    good = np.array([[[1.0], [2.0]]], dtype=np.float32)
    assert forecast(good).horizon == 1
    with pytest.raises(ShapeError, match="increase"):
        forecast(good[:, ::-1])
    with pytest.raises(ShapeError, match="finite"):
        forecast(np.full_like(good, np.nan))


def test_head_keeps_the_first_steps() -> None:
    one = make_series(0)
    assert one.head(100).n_steps == 100
    assert np.array_equal(one.head(100).values, one.values[:100])


def test_of_a_history_shorter_than_what_is_held_out_nothing_is_left_to_train_on() -> None:
    one = make_series(0, n_steps=100)
    assert one.head(one.n_steps - 120).n_steps == 0
