"""Groups of pods: who goes first, and histories added up."""

from __future__ import annotations

from services.lab.cluster.controllers.groups import Group, SimulatedWorkload, sum_of
from services.lab.cluster.storage.resources import STATEFUL_SETS
from services.simulator.engine.specs import Interval


def test_the_highest_name_goes_first() -> None:
    ordinals = {"x-0": 4, "x-10": 1, "x-2": 3}
    group = Group("key", STATEFUL_SETS, "x", "hash", {}, 1, ordinals=ordinals)
    assert group.from_the_end() == [1, 3, 4]
    assert SimulatedWorkload(STATEFUL_SETS, "team", "x").label == "team/x"


def test_histories_of_revisions_add_up() -> None:
    old = [Interval(0, 10, 2, 3), Interval(10, 30, 1, 1)]
    new = [Interval(5, 30, 1, 2)]
    assert sum_of([old, new]) == [
        Interval(0, 5, 2, 3),
        Interval(5, 10, 3, 5),
        Interval(10, 30, 2, 3),
    ]
    assert sum_of([]) == []


def test_pieces_in_which_nothing_changes_are_one() -> None:
    halves = [[Interval(0, 10, 1, 1), Interval(10, 20, 0, 0)], [Interval(10, 20, 1, 1)]]
    assert sum_of(halves) == [Interval(0, 20, 1, 1)]
