"""Headroom from decisions to advice, on a real Postgres."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.decision.headroom.advise import LEARNED_EVERY, advise_headroom
from services.kernel.db.clusters import set_total
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.headroom.supplied_fleet import advice, needs, supply
from tests.integration.decision.stored_rows import STEP_S
from tests.integration.decision.variant_rows import observe, seen

pytestmark = pytest.mark.integration


@pytest.fixture
def supplied(fleet: Fleet) -> Fleet:
    """Two services of about 14 replicas, and nodes that are added for them."""
    fleet.add("a", 0, 14, 130.0)
    fleet.add("b", 0, 14, 130.0)
    supply(fleet)
    return fleet


def advised(fleet: Fleet) -> Any:
    assert advise_headroom(fleet.deps) == 1
    (found,) = advice(fleet)
    return found


def test_decisions_say_what_may_be_needed_and_a_type_gets_its_headroom(supplied: Fleet) -> None:
    decided = supplied.decide(0)
    found = needs(supplied)
    assert [row["workload_id"] for row in found] == sorted(decided)
    for row in found:
        final = decided[row["workload_id"]]["desired_replicas"]
        assert (row["gpu_type"], row["gpus_per_replica"], row["step_s"]) == ("H100", 1, STEP_S)
        assert (row["current_replicas"], row["held_replicas"]) == (14, max(14, final))
        assert row["max_replicas"] == 60
        assert max(row["peaks"]) >= 15
    seen = advised(supplied)
    assert (seen["gpu_type"], seen["chunk_gpus"]) == ("H100", 1)
    assert 0.0 <= seen["risk"] <= 1.0
    assert (seen["n_workloads"], seen["n_unknown"]) == (2, 0)
    assert seen["usd_per_hour"] == pytest.approx(2.5 * seen["gpus"])
    assert seen["risk_after"] <= seen["risk_before"]
    assert (seen["dependence"], seen["n_dependence_steps"]) == (0.5, 0)
    assert seen["advised_at"] == supplied.clock.now()


def test_the_next_decision_tells_it_while_it_holds(supplied: Fleet) -> None:
    first = supplied.decide(0)
    assert all("headroom" not in row["explanation"] for row in first.values())
    seen = advised(supplied)
    supplied.step()
    supply(supplied)
    for row in supplied.decide(0).values():
        told = row["explanation"]["headroom"]
        assert (told["gpu_type"], told["gpus"]) == ("H100", seen["gpus"])
        assert (told["usd_per_hour"], told["risk_before"]) == (
            seen["usd_per_hour"], seen["risk_before"],
        )  # fmt: skip
    for _ in range(4):
        supplied.step()
        supply(supplied)
        last = supplied.decide(0)
    assert all("headroom" not in row["explanation"] for row in last.values())


def test_what_is_held_too_low_is_held_ready(supplied: Fleet) -> None:
    """A minimum number of replicas is missing: two more of each may be needed before a node is."""
    supplied.decide(0)
    with supplied.engine.begin() as connection:
        connection.execute(text("UPDATE gpu_needs SET held_replicas = 12, current_replicas = 12"))
    supply(supplied, asked_gpus=32, headroom_risk=0.01)
    seen = advised(supplied)
    assert seen["risk"] == 0.01
    assert seen["gpus"] == seen["need_gpus"] >= 4
    assert seen["risk_before"] > 0.9
    assert seen["risk_after"] <= 0.01
    supplied.clock.advance(STEP_S)
    supply(supplied, asked_gpus=32, ceiling=34)
    capped = advised(supplied)
    assert (capped["gpus"], capped["is_capped"]) == (2, True)


def test_without_a_stated_risk_it_is_what_services_pay_for(supplied: Fleet) -> None:
    supplied.decide(0)
    found = []
    for log_price in (-2.0, 9.0, None):
        with supplied.engine.begin() as connection:
            connection.execute(text("UPDATE gpu_needs SET held_replicas = 13"))
            changed = {"log_multiplier": log_price}
            connection.execute(
                text("UPDATE risk_states SET state = state || CAST(:new AS jsonb)"),
                {"new": json.dumps(changed)},
            )
        supplied.clock.advance(STEP_S)
        supply(supplied)
        found.append(advised(supplied))
    cheap, dear, unknown = found
    assert cheap["gpus"] < unknown["gpus"] <= dear["gpus"]
    assert unknown["risk"] == 0.01


@pytest.fixture
def held_back(fleet: Fleet) -> Fleet:
    """Two services that something has kept at ten replicas, and need about four more each."""
    fleet.add("a", 0, 10, 130.0)
    fleet.add("b", 0, 10, 130.0)
    supply(fleet)
    fleet.decide(0)
    with fleet.engine.begin() as connection:
        connection.execute(text("UPDATE decisions SET desired_replicas = 10"))
        connection.execute(text("UPDATE gpu_needs SET held_replicas = 10, current_replicas = 10"))
    supply(fleet, headroom_risk=0.002, gpus_per_node=1)
    return fleet


def test_a_stated_risk_and_a_budget_are_kept(held_back: Fleet) -> None:
    supply(held_back, headroom_risk=0.3, gpus_per_node=1)
    careless = advised(held_back)
    held_back.clock.advance(STEP_S)
    supply(held_back, headroom_risk=0.002, gpus_per_node=1)
    careful = advised(held_back)
    assert careless["risk"] == 0.3
    assert careful["gpus"] > careless["gpus"] > 2
    held_back.clock.advance(STEP_S)
    supply(held_back, gpus_per_node=1)
    held_back.budget(22)
    assert advised(held_back)["gpus"] == 2


@pytest.mark.parametrize(("gpus", "gpu_type"), [(None, "H100"), (None, "*"), (20, "H100")])
def test_nothing_is_held_ready_that_a_budget_lets_nobody_use(
    held_back: Fleet, gpus: int | None, gpu_type: str
) -> None:
    """Nor under one that cannot be read: nothing is added under it."""
    held_back.budget(gpus, gpu_type)
    found = advised(held_back)
    assert (found["gpus"], found["is_capped"]) == (0, True)
    assert found["need_gpus"] > 2


@pytest.mark.parametrize(("part", "gpus"), [(23, 3), (None, 0)])
def test_a_part_of_a_total_is_a_budget(held_back: Fleet, part: int | None, gpus: int) -> None:
    now = held_back.clock.now()
    with held_back.engine.begin() as connection:
        set_total(connection, "H100", 40, now)
        if part is not None:
            connection.execute(
                text(
                    "INSERT INTO cell_budgets (cluster_id, gpu_type, gpus, held_gpus, "
                    "exchanged_at) VALUES (1, 'H100', :part, 20, :now)"
                ),
                {"part": part, "now": now},
            )
    found = advised(held_back)
    assert (found["gpus"], found["is_capped"]) == (gpus, True)


def test_who_says_nothing_of_its_needs_holds_its_gpus_all_the_same(held_back: Fleet) -> None:
    """Services with variants, in any shard, and those that no forecast is made of."""
    parts = [
        {"name": name, "target": f"Deployment/{name}", "gpu_type": gpu_type}
        for name, gpu_type in (("h", "H100"), ("l", "L4"))
    ]
    mixed = held_back.add("mixed", 1, 60, 500.0, variants=parts)
    held_back.clock.advance(1)
    observe(held_back.engine, mixed, held_back.clock.now(), h=seen(60), l=seen(0))
    held_back.budget(82)
    assert advised(held_back)["gpus"] == 2


def test_what_a_service_said_holds_for_steps_of_its_own(held_back: Fleet) -> None:
    """The worker's steps may be shorter than the service's."""
    settings = held_back.deps.settings.model_copy(update={"step_s": STEP_S // 5})
    deps = replace(held_back.deps, settings=settings)
    held_back.clock.advance(2 * STEP_S)
    supply(held_back)
    assert advise_headroom(deps) == 1
    (found,) = advice(held_back)
    assert (found["n_workloads"], found["n_unknown"]) == (2, 0)


def test_it_is_advised_once_a_step_and_learned_once_an_hour(supplied: Fleet) -> None:
    supplied.decide(0)
    first = advised(supplied)
    assert advise_headroom(supplied.deps) == 0
    supplied.clock.advance(STEP_S)
    supply(supplied)
    assert advised(supplied)["dependence_at"] == first["dependence_at"]
    supplied.clock.advance(LEARNED_EVERY.total_seconds())
    supply(supplied)
    assert advised(supplied)["dependence_at"] > first["dependence_at"]


def test_what_did_not_say_what_it_may_need_is_counted_not_taken_for_nothing(
    supplied: Fleet,
) -> None:
    supplied.decide(0)
    supplied.add("c", 0, 3, 30.0, mode="Advisory")
    assert (advised(supplied)["n_workloads"], advice(supplied)[0]["n_unknown"]) == (2, 1)
    supplied.clock.advance(3600)
    supply(supplied)
    stale = advised(supplied)
    assert (stale["n_workloads"], stale["n_unknown"], stale["gpus"]) == (0, 3, 0)


@pytest.mark.parametrize(
    "change", [{"ceiling": None}, {"headroom_mode": "off"}], ids=["fixed", "off"]
)
def test_advice_goes_where_none_is_given(supplied: Fleet, change: dict[str, Any]) -> None:
    supplied.decide(0)
    advised(supplied)
    supplied.clock.advance(STEP_S)
    supply(supplied, **change)
    assert advise_headroom(supplied.deps) == 0
    assert advice(supplied) == []


def test_a_supply_that_nobody_confirms_is_not_advised_on(supplied: Fleet) -> None:
    supplied.decide(0)
    supplied.clock.advance(3600)
    assert advise_headroom(supplied.deps) == 0


def test_nothing_is_said_of_a_fixed_supply(fleet: Fleet) -> None:
    fleet.add("a", 0, 14, 130.0)
    supply(fleet, ceiling=None)
    fleet.decide(0)
    assert needs(fleet) == []


def test_one_type_that_cannot_be_read_keeps_no_other_from_its_advice(supplied: Fleet) -> None:
    supplied.add("l4", 0, 4, 30.0, gpu_type="L4")
    supply(supplied)
    with supplied.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO gpu_supply SELECT cluster_id, 'L4', ceiling, reason, message, "
                "node_gpus, asked_gpus, startup_median_s, startup_sigma, n_startups, n_refused, "
                "refused_at, retry_at, attempted_at, settled_at, refusal, observed_at "
                "FROM gpu_supply"
            )
        )
    supplied.decide(0)
    with supplied.engine.begin() as connection:
        connection.execute(text("UPDATE gpu_needs SET peaks = ARRAY[1, 2] WHERE gpu_type = 'H100'"))
    assert advise_headroom(supplied.deps) == 1
    assert [row["gpu_type"] for row in advice(supplied)] == ["L4"]


def test_pieces_keep_their_size_while_no_service_says_anything(supplied: Fleet) -> None:
    supplied.decide(0)
    with supplied.engine.begin() as connection:
        connection.execute(text("UPDATE gpu_needs SET gpus_per_replica = 4"))
    assert advised(supplied)["chunk_gpus"] == 4
    with supplied.engine.begin() as connection:
        connection.execute(text("DELETE FROM gpu_needs"))
    for _ in range(2):
        supplied.clock.advance(STEP_S)
        supply(supplied)
        silent = advised(supplied)
        assert (silent["chunk_gpus"], silent["gpus"]) == (4, 0)


def test_needs_of_workloads_that_left_are_dropped(supplied: Fleet) -> None:
    supplied.decide(0)
    with supplied.engine.begin() as connection:
        connection.execute(
            text("UPDATE gpu_needs SET decided_at = decided_at - :age WHERE workload_id = 1"),
            {"age": timedelta(days=2)},
        )
    advised(supplied)
    assert [row["workload_id"] for row in needs(supplied)] == [2]
