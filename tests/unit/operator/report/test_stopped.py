"""What somebody stopped by hand is said: the target, or the single parts by their names."""

from __future__ import annotations

from dataclasses import replace

from services.operator.report.stopped import stopped_by_hand
from tests.unit.operator.examples import decision, situation


def test_a_part_stopped_by_hand_is_said_by_its_name() -> None:
    newest = decision(desired=6, parts={"h100": (2, 4), "l4": (0, 2)})
    where = replace(situation(2), parts=(("h100", situation(2)), ("l4", situation(0))))
    said = stopped_by_hand(newest, where)
    assert said.startswith("the target of l4 was scaled to zero by hand and is left so; 2 replicas")
    assert stopped_by_hand(replace(newest, parts_put_to_zero=("l4",)), where) == ""


def test_where_all_parts_were_stopped_the_whole_is_said_once() -> None:
    newest = decision(desired=6, parts={"h100": (0, 4), "l4": (0, 2)})
    where = replace(situation(0), parts=(("h100", situation(0)), ("l4", situation(0))))
    said = stopped_by_hand(newest, where)
    assert said.startswith("the target was scaled to zero by hand and is left so; 6 replicas")


def test_nothing_is_said_of_a_part_that_is_not_to_have_replicas() -> None:
    newest = decision(desired=4, parts={"h100": (2, 4), "l4": (0, 0)})
    where = replace(situation(2), parts=(("h100", situation(2)), ("l4", situation(0))))
    assert stopped_by_hand(newest, where) == ""
