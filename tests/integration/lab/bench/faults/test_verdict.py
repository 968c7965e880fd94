"""A violation of each invariant, planted in a real database, is found and named."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from services.lab.bench.faults.outside.repository import OpenIntent
from services.lab.bench.faults.outside.row_log import FailingWorkload, RowLog
from services.lab.bench.faults.verdict import Evidence, judge
from tests.integration.lab.bench.faults.planted_rows import FIRST, PlantedFleet, plant

pytestmark = pytest.mark.integration


@pytest.fixture
def planted(database: Engine) -> PlantedFleet:
    return plant(database)


def found(planted: PlantedFleet, evidence: Evidence | None = None) -> list[str]:
    """Invariants that did not hold, each with its row."""
    verdict = judge(planted.engine, evidence or planted.evidence())
    return [f"{one.invariant}: {one.text}" for one in verdict.violations]


def test_where_all_held_nothing_is_found(planted: PlantedFleet) -> None:
    verdict = judge(planted.engine, planted.evidence())
    assert verdict.violations == []
    assert verdict.n_superseded == 0
    assert verdict.n_audited == 1


def test_a_missing_forecast_is_found(planted: PlantedFleet) -> None:
    key, at = planted.fleet.healthy[1].key, planted.origin(2)
    planted.execute(
        "DELETE FROM forecasts WHERE workload_id = :id AND origin_at = :at",
        id=planted.ids[key],
        at=at,
    )
    assert found(planted) == [f"lost: {key} at origin {at:%H:%M:%S}: no forecast"]


def test_a_missing_decision_is_found(planted: PlantedFleet) -> None:
    key, at = planted.fleet.healthy[1].key, planted.origin(3)
    planted.execute(
        "DELETE FROM decisions WHERE workload_id = :id AND origin_at = :at",
        id=planted.ids[key],
        at=at,
    )
    assert found(planted) == [f"lost: {key} at origin {at:%H:%M:%S}: no decision"]


def test_an_origin_that_was_passed_over_is_recorded_and_not_lost(planted: PlantedFleet) -> None:
    key, at = planted.fleet.healthy[1].key, planted.origin(3)
    planted.execute(
        "DELETE FROM decisions WHERE workload_id = :id AND origin_at = :at",
        id=planted.ids[key],
        at=at,
    )
    passing = (
        "INSERT INTO superseded_origins SELECT 'decide', shard, :at, :is_urgent, :at, 'late', :at "
        "FROM workloads WHERE id = :id"
    )
    planted.execute(passing, id=planted.ids[key], at=at, is_urgent=True)
    assert len(found(planted)) == 1, "gold was passed over, and this is silver"
    planted.execute(passing, id=planted.ids[key], at=at, is_urgent=False)
    verdict = judge(planted.engine, planted.evidence())
    assert verdict.violations == []
    assert verdict.n_superseded >= 1


def test_a_second_decision_of_a_policy_is_found(planted: PlantedFleet) -> None:
    again = planted.forecast(planted.first, 0, "another-model")
    planted.decide(planted.first, 0, again)
    assert found(planted) == [
        f"duplicated: {planted.first} at origin 12:00:00: 1 forecasts, 2 decisions"
    ]


def test_a_decision_that_came_too_late_is_counted(planted: PlantedFleet) -> None:
    planted.execute(
        "UPDATE actions SET result = 'superseded' WHERE workload_id = :id AND origin_at = :at",
        id=planted.ids[planted.first],
        at=planted.origin(2),
    )
    verdict = judge(planted.engine, planted.evidence())
    assert (verdict.violations, verdict.n_superseded) == ([], 1)


def test_a_scaling_without_a_record_is_found(planted: PlantedFleet) -> None:
    planted.execute("UPDATE actions SET result = 'unchanged'")
    assert found(planted) == [f"unrecorded: {planted.first} at 12:00:11: 1 to 2 has no record"]


def test_an_open_intent_is_a_record(planted: PlantedFleet) -> None:
    planted.execute("UPDATE actions SET result = 'unchanged'")
    planted.execute(
        "INSERT INTO intents VALUES (2, 1, :at, :id, 1, 2, '[]', :at)",
        at=planted.origin(1),
        id=planted.ids[planted.first],
    )
    assert found(planted) == []


def test_a_record_without_a_scaling_is_found(planted: PlantedFleet) -> None:
    (text,) = found(planted, planted.evidence(seen=planted.seen((0, 1))))
    assert text.startswith(f"duplicated: {planted.first} at 12:00:10: decision 2 is recorded")


def test_a_decision_applied_after_a_newer_is_found(planted: PlantedFleet) -> None:
    planted.act(
        planted.first, 0, 1, id=5000, attempt=2, result="applied", from_replicas=2, to_replicas=3
    )
    seen = planted.seen((0, 1), (11, 2), (12, 3))
    late = [one for one in found(planted, planted.evidence(seen=seen)) if "after a newer" in one]
    assert late == [
        f"duplicated: {planted.first} at 12:00:05: decision 1 was applied after a newer"
    ]


def test_an_intent_that_stays_open_is_found(planted: PlantedFleet) -> None:
    intent = OpenIntent(planted.first, 2, 1)
    log = RowLog(intents={intent: (FIRST, FIRST + timedelta(seconds=31))})
    assert found(planted, planted.evidence(rows=log)) == [
        f"unrecorded: {planted.first}: intent of decision 2 open for 31 s"
    ]


def test_a_scaling_out_of_its_bounds_is_found(planted: PlantedFleet) -> None:
    planted.execute("UPDATE actions SET to_replicas = 0 WHERE result = 'applied'")
    seen = planted.seen((0, 1), (11, 0))
    assert found(planted, planted.evidence(seen=seen)) == [
        f"out_of_bounds: {planted.first} at 12:00:11: 0 replicas, zero unasked"
    ]


def test_an_accepted_sample_that_is_gone_is_found(planted: PlantedFleet) -> None:
    planted.execute("DELETE FROM observations")
    (text,) = found(planted)
    assert text.startswith(f"samples_lost: {planted.first}: 1 accepted samples are gone")


def test_wrong_answers_are_found(planted: PlantedFleet) -> None:
    evidence = planted.evidence(wrong_pushes=["500 no"], wrong_calls=["/v1/x: 503 no"])
    assert found(planted, evidence) == [
        "wrong_answers: push: 500 no",
        "wrong_answers: API: /v1/x: 503 no",
    ]


def test_who_fails_beside_the_victim_is_found(planted: PlantedFleet) -> None:
    keys = (planted.first, planted.fleet.victim.key)
    log = RowLog(failing={FailingWorkload(key, "decide: OverflowError"): FIRST for key in keys})
    assert found(planted, planted.evidence(rows=log)) == [
        f"blast_radius: {planted.first} at 12:00:00: decide: OverflowError"
    ]


def test_a_broken_audit_chain_is_found(planted: PlantedFleet) -> None:
    planted.execute(
        "ALTER TABLE audit DISABLE TRIGGER USER; UPDATE audit SET actor = 'nobody'; "
        "ALTER TABLE audit ENABLE TRIGGER USER"
    )
    (text,) = found(planted)
    assert text.startswith("audit: entry 1 does not follow")


def test_the_victim_may_miss_its_decisions(planted: PlantedFleet) -> None:
    assert planted.fleet.victim.key in planted.ids
    assert found(planted) == []
