"""Rows of replica states."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.operator.cluster.pods import Replicas, ReplicaSnapshot
from services.operator.reconcile.memory import KnownStart
from services.operator.reconcile.record_states import _ready_at, _row
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import pod


def test_counts_are_no_larger_than_a_column_holds() -> None:
    seen = ReplicaSnapshot(2**40, Replicas(), 2**40, on_new_nodes=None, warm=3)
    row = _row(7, NOW, seen)
    assert (row[0], row[2], row[7], row[9], row[10]) == (7, 2**31 - 1, 2**31 - 1, None, 3)


@pytest.mark.parametrize(("ready_s", "found_s"), [(-40, -40), (3, 3), (-200, 0), (400, 0)])
def test_a_node_with_a_wrong_clock_makes_no_start_end_before_it_began(
    ready_s: int, found_s: int
) -> None:
    """A kubelet stamps `Ready` by its own clock: then it counts when it was seen."""
    requested_at = NOW - timedelta(seconds=100)
    start = KnownStart(1, "H100", requested_at, is_ready=True)
    found = _ready_at(pod("a", ready_s=ready_s, created_s=-100), start, NOW)
    assert found == NOW + timedelta(seconds=found_s)
