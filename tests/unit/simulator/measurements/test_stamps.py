"""Times in whatever form they come."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

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
