"""Intents in the database: one statement for all, and nobody takes another's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.admin.approvals.repository import lock_workload
from services.operator.reconcile import intents_repository
from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def row(bench: Bench, decision_id: int, attempt: int = 1) -> dict[str, Any]:
    now = bench.clock.now().isoformat()
    return {
        "decision_id": decision_id,
        "attempt": attempt,
        "origin_at": now,
        "workload_id": bench.workload_id("llama"),
        "from_replicas": 2,
        "to_replicas": 5,
        "targets": [{"name": "", "from": 2, "to": 5}],
        "created_at": now,
    }


def test_intents_are_stored_once_counted_and_deleted(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    now = bench.clock.now()
    with bench.engine.begin() as connection:
        rows = [row(bench, 1), row(bench, 2)]
        assert intents_repository.store_intents(connection, rows) == {(1, 1), (2, 1)}
        again = [row(bench, 2), row(bench, 2, attempt=2)]
        assert intents_repository.store_intents(connection, again) == {(2, 2)}
        intents_repository.delete_intents(connection, [(1, 1), (2, 1)])
        (left,) = intents_repository.load_intents(connection)
        assert (left["decision_id"], left["attempt"], left["origin_at"]) == (2, 2, now)
        ids, since = [bench.workload_id("llama")], now - timedelta(minutes=30)
        (change,) = intents_repository.load_changes(connection, ids, since, now)
        assert (change["from_replicas"], change["to_replicas"]) == (2, 5)
        assert change["applied_at"] == now


def test_what_a_person_has_rejected_by_now_is_not_announced(bench: Bench) -> None:
    """The operator had read the approval before that."""
    bench.lab.deploy("llama", replicas=2)
    bench.lab.autoscale("llama", mode="Approval")
    bench.reconcile()
    decision_id = bench.decide("llama", desired=5)
    verdict = text(
        "INSERT INTO approvals (decision_id, origin_at, workload_id, verdict, reason, actor, "
        "decided_at) VALUES (:id, :now, :workload, :verdict, '', 'ops', :now) "
        "ON CONFLICT (decision_id) DO UPDATE SET verdict = EXCLUDED.verdict"
    )
    given = {"id": decision_id, "now": bench.clock.now(), "workload": bench.workload_id("llama")}
    for said, stored in (("rejected", set()), ("approved", {(decision_id, 1)})):
        with bench.engine.begin() as connection:
            connection.execute(verdict, given | {"verdict": said})
            announced = intents_repository.store_intents(connection, [row(bench, decision_id)])
            assert announced == stored, said


def test_a_verdict_that_is_being_given_is_waited_for(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=2)
    bench.lab.autoscale("llama", mode="Approval")
    bench.reconcile()
    decision_id = bench.decide("llama", desired=5)
    with bench.engine.begin() as judging, bench.engine.begin() as announcing:
        lock_workload(judging, bench.workload_id("llama"))
        announcing.execute(text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(OperationalError, match="lock timeout"):
            intents_repository.store_intents(announcing, [row(bench, decision_id)])
        announcing.rollback()


def test_what_has_its_action_already_is_not_announced_again(bench: Bench) -> None:
    """A leader that had read the decision before the action came loads it again."""
    bench.lab.deploy("llama", replicas=2)
    bench.lab.autoscale("llama")
    bench.reconcile()
    decision_id = bench.decide("llama", desired=5)
    origin = {"origin_at": bench.rows("decisions")[0]["origin_at"].isoformat()}
    known = [row(bench, decision_id) | origin]
    bench.reconcile()
    with bench.engine.begin() as connection:
        assert intents_repository.store_intents(connection, known) == set()
        again = [row(bench, decision_id, attempt=2) | origin]
        assert intents_repository.store_intents(connection, again) == {(decision_id, 2)}
