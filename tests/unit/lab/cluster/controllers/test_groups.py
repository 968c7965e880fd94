"""Groups of pods: who goes first, and histories added up."""

from __future__ import annotations

from services.lab.cluster.controllers.groups import Group, SimulatedWorkload, sum_of
from services.lab.cluster.storage.resources import REPLICA_SETS, STATEFUL_SETS
from services.simulator.engine.pod import EnginePod
from services.simulator.engine.specs import Interval, StartupSpec


def test_the_highest_name_goes_first() -> None:
    ordinals = {"x-0": 4, "x-10": 1, "x-2": 3}
    group = Group("key", STATEFUL_SETS, "x", "hash", {}, 1, ordinals=ordinals)
    assert group.from_the_end() == [1, 3, 4]
    assert SimulatedWorkload(STATEFUL_SETS, "team", "x").label == "team/x"


def pod(ordinal: int, node: str | None = "n1", **given: float | int) -> EnginePod:
    startup = StartupSpec(5.0)
    values = {"ready_s": 100.0} if node else {}
    return EnginePod("key", ordinal, "H100", 1, startup, 0.0, node=node, **(values | given))


def test_a_replica_set_gives_up_pods_in_the_order_of_its_controller() -> None:
    group = Group("key", REPLICA_SETS, "x", "hash", {}, 1)
    pods = [
        pod(0, "n2", ready_s=900.0),
        pod(1, ready_s=100.0),
        pod(2, ready_s=200.0),
        pod(3, "n3", deletion_cost=-5),
        pod(4, "n4", deletion_cost=7, ready_s=999.0),
        EnginePod("key", 5, "H100", 1, StartupSpec(5.0), 0.0, node="n5"),
        pod(6, None),
    ]
    # no node, not ready, cheapest, two on one node: the younger first, alone, dearest
    assert group.to_lose(pods) == [6, 5, 3, 2, 1, 0, 4]


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
