"""Requests that finish together: told apart by their lengths, solved by what each lasted."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.arena.replay.pairs import FORGET_MS, FlightList
from services.lab.arena.replay.records import AskedRequest

ONE, OTHER, THIRD = (
    AskedRequest(100.0 * n, *lengths)
    for n, lengths in enumerate(((500, 100), (700, 300), (900, 50)), start=1)
)


def look(end_ms: float, *rows: tuple[float, float, int, int]) -> dict[str, Any]:
    """Telemetry of a look around the end of requests: TTFT, time per token, lengths."""
    ttft, tpot, n_input, n_output = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return {
        "interval_start_ms": end_ms - 1.0,
        "sampled_at_ms": end_ms + 1.0,
        "traffic": {
            "completed_requests": len(rows),
            "avg_ttft_ms": ttft,
            "ttft_count": len(rows),
            "avg_itl_ms": tpot,
            "itl_count": len(rows),
            "avg_isl": n_input,
            "avg_osl": n_output,
        },
    }


def rows_at(end_ms: float, *requests: AskedRequest, ttft: tuple[float, ...]) -> list[Any]:
    """What those requests felt that end at a time after their first tokens; clock from `ONE`."""
    rows = []
    for request, first in zip(requests, ttft, strict=True):
        lasted = end_ms - (request.arrival_ms - ONE.arrival_ms)
        rows.append(
            (first, (lasted - first) / (request.n_output - 1), request.n_input, request.n_output)
        )
    return rows


def test_two_that_end_together_are_told_apart() -> None:
    true = rows_at(9000.0, ONE, OTHER, ttft=(2500.0, 60.0))
    found = FlightList([ONE, OTHER, THIRD]).finished(look(9000.0, *true))
    assert [value for row in found for value in row] == pytest.approx(
        [value for row in true for value in row]
    )


def test_of_two_answers_of_like_length_the_means_stay() -> None:
    like = OTHER._replace(n_output=95)
    true = rows_at(9000.0, ONE, like, ttft=(2500.0, 60.0))
    found = FlightList([ONE, like]).finished(look(9000.0, *true))
    assert [row[0] for row in found] == [1280.0, 1280.0]


def test_where_two_pairs_fit_the_means_stay() -> None:
    # Two pairs of the same sums: (500, 100) + (700, 300) and (400, 150) + (800, 250).
    others = AskedRequest(150.0, 400, 150), AskedRequest(160.0, 800, 250)
    true = rows_at(9000.0, ONE, OTHER, ttft=(2500.0, 60.0))
    found = FlightList([ONE, OTHER, *others]).finished(look(9000.0, *true))
    assert [row[0] for row in found] == [1280.0, 1280.0]


def test_who_has_finished_is_no_longer_looked_for() -> None:
    others = AskedRequest(150.0, 400, 150), AskedRequest(160.0, 800, 250)
    flights = FlightList([ONE, OTHER, *others])
    flights.finished(look(5000.0, *rows_at(5000.0, others[0], ttft=(50.0,))))
    true = rows_at(9000.0, ONE, OTHER, ttft=(2500.0, 60.0))
    found = flights.finished(look(9000.0, *true))
    assert [row[0] for row in found] == pytest.approx([2500.0, 60.0])


def test_what_came_long_ago_is_forgotten() -> None:
    flights = FlightList([ONE, OTHER])
    late = OTHER.arrival_ms + FORGET_MS + 5.0
    found = flights.finished(look(late, *rows_at(late, ONE, OTHER, ttft=(2500.0, 60.0))))
    assert [row[0] for row in found] == [1280.0, 1280.0]
    assert not flights.flying


def test_three_have_their_means() -> None:
    true = rows_at(9000.0, ONE, OTHER, THIRD, ttft=(2500.0, 60.0, 40.0))
    found = FlightList([ONE, OTHER, THIRD]).finished(look(9000.0, *true))
    assert [row[0] for row in found] == pytest.approx([2600.0 / 3] * 3)
