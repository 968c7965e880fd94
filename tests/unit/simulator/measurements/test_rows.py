"""Rows that cannot be a workload's, and what is said of those that are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.simulator.fleet import TraceError, TraceOptions, fleet_of
from services.simulator.measurements import ColumnChoice, read_file
from tests.unit.simulator.measurements.texts import csv, lines, stamps


def test_the_span_and_the_steps_are_said_first(tmp_path: Path) -> None:
    found = read_file(csv(tmp_path, "ts,rps\n" + lines(stamps(4, 300), [1, 2, 3, 4])))
    assert found.said[0].endswith(
        "from 2026-01-05T00:00:00Z to 2026-01-05T00:15:00Z, steps of 300 s"
    )


@pytest.mark.parametrize("value", ["inf", "-inf", "1e31"])
def test_what_is_infinite_is_refused_with_its_row(tmp_path: Path, value: str) -> None:
    text = "ts,rps\n{},1.5\n{},{}\n".format(*stamps(2), value)
    with pytest.raises(TraceError, match=r"column 'rps', row 2: .* is larger than anything"):
        read_file(csv(tmp_path, text))


def test_a_name_for_each_row_is_told_with_its_column(tmp_path: Path) -> None:
    rows = "".join(f"{at},r{k},{k}.5\n" for k, at in enumerate(stamps(3)))
    path = csv(tmp_path, "ts,request,rps\n" + rows)
    with pytest.raises(
        TraceError, match=r"one row per workload by the names in 'request'; --id ''"
    ):
        read_file(path)
    (series,) = read_file(path, ColumnChoice(workload="")).trace.series
    assert (series.workload, series.time_s.size) == ("mine", 3)


def test_a_service_of_longer_steps_is_known_in_them(tmp_path: Path) -> None:
    """One a minute beside one each five minutes: both are replayed in steps of five minutes."""
    minute = [(at, "fast", 50 + k % 7) for k, at in enumerate(stamps(3000))]
    five = [(at, "slow", 90 + k % 5) for k, at in enumerate(stamps(600, 300))]
    rows = "".join(f"{at},{name},{value}\n" for at, name, value in sorted(minute + five))
    found = read_file(csv(tmp_path, "ts,service,rps\n" + rows))
    assert "steps of 60 s (300 s of 'slow')" in found.said[0]
    loaded = fleet_of(found.trace, "mine", TraceOptions(step_s=300, replay_hours=4.0))
    assert loaded.dropped == ()
    assert loaded.fleet.demand[1, :5].tolist() == [90, 91, 92, 93, 94]
    (dropped,) = fleet_of(found.trace, "mine", TraceOptions(replay_hours=4.0)).dropped
    assert "its rows are 300 s apart, as --step 300 has it" in dropped.reason
