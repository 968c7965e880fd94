"""What counts are expected to miss, in the words of the promise."""

from __future__ import annotations

from typing import Any

import pytest

from services.admin.decisions.misses_wording import explain_misses
from services.admin.decisions.translate import to_expected_misses
from services.admin.decisions.wording import explain
from tests.unit.cli.kubectl.views import decision

STORED: dict[str, Any] = {
    "of": "requests",
    "by_replicas": {"10": 0.00612345, "8": 0.0312345, "11": 0.00004, "9": 0.018, "40": 0.0},
}


def words(record: Any, **changes: Any) -> str:
    misses = to_expected_misses({"expected_misses": record})
    return explain_misses(decision(expected_misses=misses, **changes))


def test_the_count_that_runs_the_decided_one_and_its_neighbours_are_told() -> None:
    assert words(STORED) == (
        "8 replicas: 3.1 % of requests would wait longer than the objective allows, or fail; "
        "9: 1.8 %; 10: 0.61 %; 11: 0.004 %"
    )


@pytest.mark.parametrize(
    ("floor", "ending"),
    [(0.0078, "; beside these 0.78 % at any count"), (0.0004, ""), (None, ""), ("much", "")],
)
def test_what_misses_at_any_count_is_told_beside_it(floor: Any, ending: str) -> None:
    assert words(STORED | {"floor": floor}) == words(STORED) + ending


def test_a_promise_of_time_is_told_in_minutes() -> None:
    record = {"of": "minutes", "by_replicas": {"2": 0.5, "1": 0.994}}
    said = words(record, current_replicas=1, raw_replicas=2, desired_replicas=2)
    assert said == (
        "1 replica: 99 % of minutes would be bad (too few of their requests within the objective); "
        "2: 50 %"
    )


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {"of": "requests"},
        {"of": "requests", "by_replicas": {}},
        {"of": "requests", "by_replicas": {"8": None, "x": 0.1}},
        {"of": "tokens", "by_replicas": {"8": 0.1}},
        {"of": "requests", "by_replicas": {"30": 0.1}},
    ],
)
def test_where_nothing_is_known_nothing_is_said(record: Any) -> None:
    assert words(record) == ""
    assert explain(decision()).misses == ""


def test_an_explanation_that_is_no_record_says_nothing() -> None:
    assert to_expected_misses(None) is None
