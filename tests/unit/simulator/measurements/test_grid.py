"""Times that are on no grid."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.simulator.measurements import ColumnChoice, read_file
from services.simulator.measurements.grid import (
    averaged,
    likely_interval,
    own_interval,
    place_in_step,
    spacing,
)
from tests.unit.simulator.fleet.traces import START
from tests.unit.simulator.measurements.texts import csv, lines, stamps


def test_irregular_times_are_averaged_and_it_is_said(tmp_path: Path) -> None:
    text = "ts,rps\n" + lines(stamps(6, 30, (0.4, 7.0)), [1, 3, 5, 7, 9, 11])
    found = read_file(csv(tmp_path, text), ColumnChoice())
    (series,) = found.trace.series
    assert found.trace.interval_s == 30
    assert series.values[:, 0].tolist() == [1, 3, 5, 7, 9, 11]
    assert "irregular: averaged over steps of 30 s" in found.said[1]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 500_000), min_size=2, max_size=60),
    st.integers(0, 10_000),
)
def test_averaging_loses_no_measurement(gaps_ms: list[int], first_ms: int) -> None:
    times = first_ms + np.cumsum(np.array(gaps_ms, dtype=np.int64))
    values = np.arange(times.size, dtype=float)[:, None]
    step_s = likely_interval([times])
    found = averaged("a", times, values, step_s)
    counts = np.array([np.sum(times // (1000 * step_s) == t // step_s) for t in found.time_s])
    assert counts.sum() == times.size
    assert float((found.values[:, 0] * counts).sum()) == pytest.approx(float(values.sum()))
    assert np.all(np.diff(found.time_s) > 0)


@pytest.mark.parametrize("place_s", [0, 17, 150, 280, 299])
def test_samples_that_come_early_and_late_have_a_step_each(tmp_path: Path, place_s: int) -> None:
    """At the edge of steps two shared one, and half of the time was unknown."""
    jitter = tuple(place_s + offset for offset in (-1.0, 1.0, 0.5, -0.5))
    values = [float(k % 11) for k in range(600)]
    found = read_file(csv(tmp_path, "ts,rps\n" + lines(stamps(600, 300, jitter), values)))
    (series,) = found.trace.series
    assert found.trace.interval_s == 300
    assert series.values[:, 0].tolist() == values
    assert np.all(np.diff(series.time_s) == 300)
    assert abs(int(series.time_s[0]) - (START.timestamp() + place_s)) <= 0.9 * 300
    assert "of which 0 hold no row and 0 hold several" in found.said[1]


def test_steps_without_a_row_and_with_several_are_counted(tmp_path: Path) -> None:
    times = [0.0, 1, 2, 61, 120, 300]
    at = [(START + timedelta(seconds=t)).isoformat() for t in times]
    path = csv(tmp_path, "ts,rps\n" + lines(at, [1.0] * 6))
    path.with_suffix(".json").write_text('{"interval_seconds": 60}')
    assert "steps of 60 s, of which 2 hold no row and 1 hold several" in read_file(path).said[1]


def test_each_workload_has_its_own_place_in_the_step(tmp_path: Path) -> None:
    rows = [f"{at},a,{k}" for k, at in enumerate(stamps(40, 60, (-1.0, 1.0)))]
    rows += [f"{at},b,{k}" for k, at in enumerate(stamps(40, 60, (29.0, 31.0)))]
    found = read_file(csv(tmp_path, "ts,service,rps\n" + "\n".join(rows)))
    for series in found.trace.series:
        assert series.values[:, 0].tolist() == list(range(40))
    assert found.trace.series[0].time_s.tolist() == found.trace.series[1].time_s.tolist()


def test_times_of_no_place_leave_the_steps_where_they_are() -> None:
    times = np.arange(0, 3_000_000, 7_300, dtype=np.int64)
    assert place_in_step(times, 60) == 0


def test_a_grid_of_longer_steps_is_found() -> None:
    assert own_interval(np.array([0, 300, 900, 1200]), 60) == 300
    assert own_interval(np.array([0, 300, 360]), 60) == 60
    assert own_interval(np.array([0]), 60) == 60


@pytest.mark.parametrize("gap_s", [7200, 10_800, 14_400, 21_600, 28_800, 43_200, 86_400])
def test_steps_of_hours_and_of_a_day_are_usual_too(gap_s: int) -> None:
    """Rows farther apart than an hour were read in steps of an hour, most of them empty."""
    times = 1000 * (gap_s * np.arange(40) + np.arange(40) % 7)
    assert likely_interval([times]) == gap_s


@pytest.mark.parametrize(
    ("gap_s", "step_s", "own_s"),
    [
        (300, 60, 300),
        (60, 60, 60),
        (100, 60, 60),  # a row in more than every second step: most of them are known
        (300, 120, 600),  # the next that is a multiple
        (300, 77, 77),  # no usual step is a multiple
        (604_800, 3600, 86_400),
    ],
)
def test_rows_of_one_that_are_farther_apart_have_longer_steps(
    gap_s: int, step_s: int, own_s: int
) -> None:
    scatter_ms = np.random.default_rng(3).integers(-5000, 5000, 200)
    times = 1000 * gap_s * np.arange(1, 201) + scatter_ms
    assert spacing(times, step_s) == own_s


def test_a_single_row_has_the_steps_of_all() -> None:
    assert spacing(np.array([5000]), 60) == 60
