"""Intents in the database: one statement for all, and nobody takes another's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

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
