"""What a target that cannot be read was last known to ask for, from the database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from services.operator.reconcile.repository import load_last_seen
from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def last_seen(bench: Bench) -> int:
    with bench.engine.connect() as connection:
        (found,) = load_last_seen(connection, [bench.workload_id("llama")], [""]).values()
    return found


def test_what_was_patched_after_the_last_snapshot_counts(bench: Bench) -> None:
    """The next operator may not be able to list the target: it would take it for smaller."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    assert last_seen(bench) == 2
    bench.decide("llama", 5)
    bench.reconcile()
    with bench.engine.begin() as connection:
        connection.execute(text("DELETE FROM replica_states WHERE spec_replicas > 2"))
    assert last_seen(bench) == 5
    long_ago = {"at": bench.clock.now() - timedelta(hours=1)}
    with bench.engine.begin() as connection:
        connection.execute(text("UPDATE actions SET applied_at = :at"), long_ago)
    assert last_seen(bench) == 2
