"""Reasons are words that people and dashboards read: stored ones keep their meaning."""

from __future__ import annotations

from decider import Direction, Reason


def test_a_reason_is_its_name_in_lower_case() -> None:
    assert all(reason.value == reason.name.lower() for reason in Reason)


def test_a_reason_begins_with_the_direction_that_it_explains() -> None:
    directions = {"scale_up": Direction.UP, "scale_down": Direction.DOWN, "hold": Direction.HOLD}
    of_none = {r for r in Reason if not r.value.startswith(tuple(directions))}
    assert of_none == {Reason.REBALANCE_VARIANTS}
    assert [str(d) for d in directions.values()] == ["up", "down", "hold"]
