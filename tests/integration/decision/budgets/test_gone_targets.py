"""A workload whose target is not there holds no GPUs of a budget."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.decision.budget_fleet import Fleet

pytestmark = pytest.mark.integration


def lose_target(fleet: Fleet, workload: int) -> None:
    """A step in which the operator finds no target for the workload's newest decision."""
    decision = fleet.decisions()[workload]
    fleet.step()
    values = {"w": workload, "d": decision["id"], "origin": decision["origin_at"]}
    values |= {"now": fleet.clock.now()}
    with fleet.engine.begin() as connection:
        connection.execute(
            text("DELETE FROM replica_states WHERE workload_id = :w AND observed_at = :now"), values
        )
    fleet._copy(
        "actions",
        ("id", "origin_at", "decision_id", "workload_id", "attempt", "result", "reason",
         "applied_at"),
        [(1, values["origin"], values["d"], workload, 1, "target_missing", "", values["now"])],
    )  # fmt: skip


@pytest.mark.parametrize("shards", [(0, 1), (0, 0)])
def test_what_a_target_had_before_it_was_deleted_is_free(
    fleet: Fleet, shards: tuple[int, int]
) -> None:
    """Twenty GPUs that nobody had were kept from all others for as long as the object was there."""
    gone = fleet.add("gone", shards[0], 20, 190.0)
    other = fleet.add("other", shards[1], 10, 150.0)
    fleet.budget(30)
    assert fleet.decide(*set(shards))[other]["desired_replicas"] <= 11
    lose_target(fleet, gone)
    fleet.budget(30)
    decided = fleet.decide(*sorted(set(shards)))
    assert decided[other]["desired_replicas"] >= 15
    assert decided[other]["explanation"]["gpu_budget"]["held_elsewhere_gpus"] == 0
    assert "gpu_budget" not in decided[gone]["explanation"]

    for _ in range(3):  # it is there again, and seen
        fleet.step()
        fleet.budget(30)
        decided = fleet.decide(*sorted(set(shards)))
        assert "gpu_budget" in decided[gone]["explanation"]
    assert sum(decided[one]["desired_replicas"] for one in (gone, other)) <= 30


def test_a_target_that_never_was_holds_no_minimum(fleet: Fleet) -> None:
    """A name that is misspelt took the minimum from everybody else."""
    ghost = fleet.add("ghost", 0, 1, 190.0, min_replicas=20)
    other = fleet.add("other", 1, 10, 150.0)
    with fleet.engine.begin() as connection:
        connection.execute(text("DELETE FROM replica_states WHERE workload_id = :w"), {"w": ghost})
    fleet.budget(30)
    assert fleet.decide(0, 1)[other]["desired_replicas"] == 10
    lose_target(fleet, ghost)
    fleet.budget(30)
    assert fleet.decide(0, 1)[other]["desired_replicas"] >= 15
