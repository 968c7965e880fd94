"""Rows that cannot be a workload's, and what is said of those that are read."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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


@pytest.mark.parametrize(
    ("many", "said"),
    [
        (pa.array([2**60 + 1, None, 2**62 + 3]), [2.0**60, math.nan, 2.0**62]),
        (pa.array([2**64 - 1, 0, None], pa.uint64()), [2.0**64, 0.0, math.nan]),
        (pa.array([Decimal("1.5"), None, Decimal(2**53 + 1)]), [1.5, math.nan, 2.0**53]),
    ],
)
def test_numbers_of_more_digits_than_a_float_has_are_rounded(
    tmp_path: Path, many: pa.Array, said: list[float]
) -> None:
    """A column of ids beside the demand was enough to end it."""
    path = tmp_path / "mine.parquet"
    table = {"ts": stamps(3), "rps": [1.0, 2.0, 3.0], "trace_id": many}
    pq.write_table(pa.table(table), path)
    found = read_file(path, ColumnChoice(demand="rps")).trace
    place = [column.name for column in found.columns].index("trace_id")
    np.testing.assert_array_equal(found.series[0].values[:, place], said)


def berlin(step_m: int, n_steps: int) -> list[datetime]:
    """Times from two days before clocks are set back, in 2026 on 25 October at 3."""
    start = datetime(2026, 10, 23, tzinfo=UTC)
    zone = ZoneInfo("Europe/Berlin")
    return [(start + timedelta(minutes=step_m * k)).astimezone(zone) for k in range(n_steps)]


@pytest.mark.parametrize(("step_m", "n_steps"), [(5, 1152), (60, 600), (60, 24 * 400)])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_local_times_of_a_clock_that_was_set_back_are_told_by_their_name(
    tmp_path: Path, step_m: int, n_steps: int, ending: str
) -> None:
    """They were told to add these rows up, which would have doubled the demand of that hour."""
    times = berlin(step_m, n_steps)
    local = [at.replace(tzinfo=None).isoformat(" ") for at in times]
    values = [50.0 + k % 7 for k in range(n_steps)]
    if ending == "csv":
        path = csv(tmp_path, "ts,rps\n" + lines(local, values))
    else:
        rows = (f'{{"ts": "{at}", "rps": {v}}}\n' for at, v in zip(local, values, strict=True))
        path = csv(tmp_path, "".join(rows), "mine.jsonl")
    with pytest.raises(TraceError, match=r"2026-10-25T02:00:00") as caught:
        read_file(path)
    said = str(caught.value)
    assert "write times with their offset, e.g. 2026-10-25T02:00:00+02:00, or in UTC" in said
    assert "add them up" not in said
    assert "\n" not in said
    path = csv(tmp_path, "ts,rps\n" + lines([at.isoformat() for at in times], values), "right.csv")
    (series,) = read_file(path).trace.series
    assert series.time_s.size == n_steps


@pytest.mark.parametrize(
    ("zone", "again"),
    [
        ("", (60, 61)),  # a part of an hour alone
        ("Z", (60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71)),  # an hour, of UTC
        ("", tuple(range(288))),  # everything
        ("", (*range(60, 72), *range(84, 96))),  # two hours of a day
    ],
)
def test_other_rows_that_are_there_twice_are_two_services_or_to_be_added_up(
    tmp_path: Path, zone: str, again: tuple[int, ...]
) -> None:
    local = [at.replace(tzinfo=None).isoformat() + zone for at in berlin(5, 288)]
    twice = sorted([*local, *(local[k] for k in again)])
    with pytest.raises(TraceError, match="with --id, or add them up first"):
        read_file(csv(tmp_path, "ts,rps\n" + lines(twice, [5.0] * len(twice))))


def test_a_name_for_each_row_is_told_with_its_column(tmp_path: Path) -> None:
    rows = "".join(f"{at},r{k},{k}.5\n" for k, at in enumerate(stamps(3)))
    path = csv(tmp_path, "ts,request,rps\n" + rows)
    with pytest.raises(
        TraceError, match=r"one row per workload by the names in 'request'; --id ''"
    ):
        read_file(path)
    (series,) = read_file(path, ColumnChoice(workload="")).trace.series
    assert (series.workload, series.time_s.size) == ("mine", 3)


def test_steps_without_a_row_are_said_of_regular_times_too(tmp_path: Path) -> None:
    """A day of gap, or the hour that a clock skips, went unsaid."""
    whole, gaps = stamps(300), [at for k, at in enumerate(stamps(300)) if not 100 <= k < 160]
    rows = [f"{at},{name},5" for name, own in (("a", whole), ("b", gaps)) for at in own]
    found = read_file(csv(tmp_path, "ts,service,rps\n" + "\n".join(rows)))
    assert found.said[1:] == ("60 of 600 steps hold no row, most of 'b': 60",)
    assert len(read_file(csv(tmp_path, "ts,rps\n" + lines(whole, [5.0] * 300))).said) == 1
    one = read_file(csv(tmp_path, "ts,rps\n" + lines(gaps, [5.0] * 240)))
    assert one.said[1:] == ("60 of 300 steps hold no row",)


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


@pytest.mark.parametrize("scatter_s", [5.0, 20.0, 40.0])
def test_a_service_of_longer_steps_that_scatter_is_known_in_them(
    tmp_path: Path, scatter_s: float
) -> None:
    """No number divides the gaps of such times, so it was left out at every step."""
    scatter = (-scatter_s, 0.3 * scatter_s, scatter_s, -0.1 * scatter_s, 0.7 * scatter_s)
    minute = [(at, "fast", 50 + k % 7) for k, at in enumerate(stamps(3000, 60, (-3.0, 2.0)))]
    five = [(at, "slow", 90 + k % 5) for k, at in enumerate(stamps(600, 300, scatter))]
    rows = "".join(f"{at},{name},{value}\n" for at, name, value in sorted(minute + five))
    found = read_file(csv(tmp_path, "ts,service,rps\n" + rows))
    assert "steps of 60 s (300 s of 'slow')" in found.said[0]
    assert "0 hold no row and 0 hold several" in found.said[1]
    loaded = fleet_of(found.trace, "mine", TraceOptions(step_s=300, replay_hours=4.0))
    assert loaded.dropped == ()
    names = [one.name for one in loaded.fleet.workloads]
    slow = loaded.fleet.demand[names.index("slow"), :-1]  # of the last step the file has no end
    assert set(np.diff(slow)) == {1.0, -4.0}


def test_days_by_a_clock_that_is_changed_are_steps_of_a_day(tmp_path: Path) -> None:
    """They were read in steps of an hour, of which 23 in 24 held no row, whatever --step said."""
    zone = ZoneInfo("Europe/Berlin")
    first = datetime(2025, 1, 1, tzinfo=zone)
    at = [(first + timedelta(days=k)).isoformat() for k in range(420)]  # midnights there
    assert {one[-6:] for one in at} == {"+01:00", "+02:00"}
    values = [50.0 + k % 7 for k in range(420)]
    found = read_file(csv(tmp_path, "ds,y\n" + lines(at, values)))
    assert found.trace.interval_s == 86_400
    assert found.trace.series[0].values[:, 0].tolist() == values
    assert fleet_of(found.trace, "mine", TraceOptions()).dropped == ()
