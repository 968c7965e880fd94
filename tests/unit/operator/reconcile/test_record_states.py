"""Rows of replica states."""

from __future__ import annotations

from services.operator.cluster.pods import Replicas, ReplicaSnapshot
from services.operator.reconcile.record_states import _row
from tests.unit.operator.examples import NOW


def test_counts_are_no_larger_than_a_column_holds() -> None:
    seen = ReplicaSnapshot(2**40, Replicas(), 2**40, on_new_nodes=None, warm=3)
    row = _row(7, NOW, seen)
    assert (row[0], row[2], row[7], row[9], row[10]) == (7, 2**31 - 1, 2**31 - 1, None, 3)
