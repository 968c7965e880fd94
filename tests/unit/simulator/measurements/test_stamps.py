"""Times in whatever form they come."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.simulator.fleet import TraceError
from services.simulator.measurements import read_file
from tests.unit.simulator.fleet.traces import START
from tests.unit.simulator.measurements.texts import csv, lines, stamps


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
def test_numbers_since_the_epoch_are_times(tmp_path: Path, factor: int) -> None:
    first = int(START.timestamp())
    rows = [(first + 60 * k) * factor for k in range(4)]
    path = csv(tmp_path, "ts,rps\n" + lines([str(r) for r in rows], [1, 2, 3, 4]))
    (series,) = read_file(path).trace.series
    assert series.time_s.tolist() == [first + 60 * k for k in range(4)]


def test_a_time_without_a_zone_is_utc(tmp_path: Path) -> None:
    plain = [at.removesuffix("+00:00") for at in stamps(3)]
    (series,) = read_file(csv(tmp_path, "ts,rps\n" + lines(plain, [1, 2, 3]))).trace.series
    assert series.time_s[0] == int(datetime(2026, 1, 5, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "times",
    [
        ["0", "1", "2", "3"],
        ["46027.000000", "46027.003472", "46027.006944", "46027.010417"],
        ["20260105", "20260106", "20260107", "20260108"],
        ["2026010500", "2026010501", "2026010502", "2026010503"],
        ["202601050000", "202601050005", "202601050010", "202601050015"],
        ["20260105000000", "20260105000500", "20260105001000", "20260105001500"],
    ],
    ids=["rows", "days of a spreadsheet", "days", "hours", "minutes", "seconds"],
)
def test_numbers_that_are_no_times_since_the_epoch_are_refused(
    tmp_path: Path, times: list[str]
) -> None:
    path = csv(tmp_path, "ts,rps\n" + lines(times, [1, 2, 3, 4]))
    said = f"column 'ts': {times[0].removesuffix('.000000')} is no time since the epoch; send epoch"
    with pytest.raises(TraceError, match=said):
        read_file(path)


def test_seconds_that_look_like_dates_by_chance_are_times(tmp_path: Path) -> None:
    """2034-03-14: the first could be an hour, the last has a month of 68."""
    first = 2026010500
    path = csv(tmp_path, "ts,rps\n" + lines([str(first + 60 * k) for k in range(10)], [1.0] * 10))
    assert read_file(path).trace.series[0].time_s[0] == first
