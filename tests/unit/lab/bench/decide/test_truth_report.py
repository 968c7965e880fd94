"""Truth and belief side by side in tables, only where the stated capacity is wrong."""

from __future__ import annotations

import pytest

from services.lab.bench.decide.truth_report import (
    believed_columns,
    is_stated,
    promise_words,
    truth_columns,
    truth_words,
)

OLD: dict = {"options": {}}
STATED: dict = {"options": {"truth": {"kind": "stated", "ratio": None}}}
OFF: dict = {"options": {"truth": {"kind": "off", "ratio": 0.9}}}
DRIFTING: dict = {"options": {"truth": {"kind": "drifting", "ratio": None}}}
NOT_KNOWING = {"cost_ratio": 0.9, "true_rate": 0.3, "true_rate_told": 0.02}
ROW = {"believed_rate": 0.01, "cost_of_not_knowing": NOT_KNOWING}


@pytest.mark.parametrize(
    ("dataset", "words", "stated"),
    [
        (OLD, "stated", True),
        (STATED, "stated", True),
        (OFF, "off 0.9", False),
        (DRIFTING, "drifting", False),
    ],
)
def test_the_truth_of_a_data_set_in_words(dataset: dict, words: str, stated: bool) -> None:
    assert truth_words(dataset) == words
    assert is_stated(dataset) == stated
    assert is_stated(dataset, OFF) is False


def test_nothing_is_added_where_the_stated_capacity_is_true() -> None:
    assert believed_columns([{"believed_rate": 0.01}], stated=True) == {}
    assert truth_columns(ROW, [OLD, STATED]) == {}


def test_what_is_believed_is_a_mean_over_the_sets_that_know_it() -> None:
    arms = [{"believed_rate": 0.01}, {"believed_rate": 0.03}, {"believed_rate": None}, {}]
    assert believed_columns(arms, stated=False) == {"believed": "2.00%"}
    assert believed_columns([{}], stated=False) == {"believed": None}


def test_a_row_says_what_knowing_would_change() -> None:
    expected = {"believed": "1.00%", "cost / told": "0.900", "told: out of SLA": "2.00%"}
    assert truth_columns(ROW, [OFF]) == expected
    bare = {"believed_rate": 0.01, "cost_of_not_knowing": None}
    empty = {"believed": "1.00%", "cost / told": None, "told: out of SLA": None}
    assert truth_columns(bare, [STATED, OFF]) == empty


def test_the_words_say_what_is_true_believed_and_measured() -> None:
    rates = {"true_rate": 0.3, "believed_rate": 0.01, "measured_rate": 0.015}
    own = {**rates, "cost_of_not_knowing": NOT_KNOWING}
    document = {"datasets": [OFF], "summary": {"0.01": {"arms": {"harmony": own}}}}
    words = " ".join(promise_words(document, "0.01"))
    assert "off 0.9: truly out of SLA 30.00%, believed 1.00%, measured 1.50%." in words
    assert "0.900 of that" in words
    assert promise_words({**document, "datasets": [STATED]}, "0.01") == []
    assert promise_words({"datasets": [OFF], "summary": {"0.01": {}}}, "0.01") == []
