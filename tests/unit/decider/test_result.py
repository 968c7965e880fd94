"""Reasons are words that people and dashboards read: stored ones keep their meaning."""

from __future__ import annotations

from dataclasses import replace

from decider import Direction, ExpectedMisses, Reason
from decider.result import SpotNote


def test_a_reason_is_its_name_in_lower_case() -> None:
    assert all(reason.value == reason.name.lower() for reason in Reason)


def test_a_reason_begins_with_the_direction_that_it_explains() -> None:
    directions = {"scale_up": Direction.UP, "scale_down": Direction.DOWN, "hold": Direction.HOLD}
    of_none = {r for r in Reason if not r.value.startswith(tuple(directions))}
    assert of_none == {Reason.REBALANCE_VARIANTS}
    assert [str(d) for d in directions.values()] == ["up", "down", "hold"]


def test_expected_misses_are_told_in_the_words_of_the_goal() -> None:
    requests = ExpectedMisses("requests", {19: 0.05, 20: 0.0312})
    assert requests.words(20) == "20 replicas: 3.1 % of requests would miss"
    few, some = (replace(requests, floor=share) for share in (0.0004, 0.0078))
    assert few.words(20) == requests.words(20)
    assert some.words(20) == "20 replicas: 3.1 % of requests would miss, and 0.78 % at any count"
    assert (
        ExpectedMisses("minutes", {2: 0.5}).words(2) == "2 replicas: 50 % of minutes would be bad"
    )


def test_spot_nodes_are_told_with_what_is_held_for_them() -> None:
    words = "of 12 replicas 8 run on spot nodes, of which one goes about each "
    assert SpotNote(8, 12, 2, 5.0, 1).words() == f"{words}5 h: 1 more is held"
    assert SpotNote(8, 12, 2, 31.4, 2).words() == f"{words}31 h: 2 more are held"
    assert SpotNote(8, 12, 2, 0.5, 0).words() == f"{words}30 min: no more are held"
