"""What the operator knows of spot nodes in the benchmark."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from decider import SpotReplicas, learn_interruptions
from services.lab.bench.supply.known_spot import KnownSpot
from services.lab.bench.supply.starts import RunClock
from tests.unit.lab.bench.supply.small import RULES, cluster, luck

CLOCK = RunClock(datetime(2026, 1, 5, tzinfo=UTC).timestamp())
SPOT = replace(RULES, is_spot=True)


def test_who_serves_on_a_node_under_notice_is_leaving() -> None:
    """Three replicas on one node, of which all GPUs are taken away at the 180th second."""
    made = cluster((2, 1), rules=SPOT, given=luck(notices=(60.0,)))
    known = KnownSpot(made, CLOCK)
    known.look()
    assert [known.leaving(service) for service in (0, 1)] == [0, 0]
    belief = learn_interruptions(0.0, 0.0)
    assert known.use(0) == SpotReplicas(2, 1, belief.interruptions, belief.node_hours)
    made.advance(61.0)
    known.look()
    assert [known.leaving(service) for service in (0, 1)] == [2, 1]
    assert known.use(0) is None
    assert known.count.interruptions == 1.0
    assert known.count.node_hours == pytest.approx(61.0 / 3600.0)


def test_an_interruption_counts_once() -> None:
    made = cluster((2, 1), rules=SPOT, given=luck(notices=(60.0,)))
    known = KnownSpot(made, CLOCK)
    for at_s in (30.0, 90.0, 150.0, 210.0, 270.0):
        made.advance(at_s)
        known.look()
    assert known.count.interruptions == pytest.approx(1.0, rel=1e-3)


def test_nodes_that_stay_are_no_spot_nodes() -> None:
    made = cluster((2, 1))
    known = KnownSpot(made, CLOCK)
    known.look()
    made.advance(300.0)
    known.look()
    assert known.use(0) is None
    assert known.count.node_hours == 0.0
