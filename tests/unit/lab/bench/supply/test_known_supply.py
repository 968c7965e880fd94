"""What the operator's functions make of the cluster: room, ceiling, back-off, patch."""

from __future__ import annotations

from dataclasses import replace

from services.lab.bench.supply.known_supply import KnownSupply, supply_row
from services.lab.bench.supply.starts import KnownStarts, RunClock
from tests.unit.lab.bench.supply.small import RULES, cluster, luck

CLOCK = RunClock(1_768_089_600.0)


def test_replicas_may_have_what_is_free_and_nodes_up_to_the_ceiling() -> None:
    found = cluster()
    known = KnownSupply(found, CLOCK)
    supply = known.look(KnownStarts(2, CLOCK))
    row = known.state_row(0, supply)
    assert row["schedulable_gpus"] == 6 * 8 - 4
    assert row["new_node_gpus"] == 5 * 8
    assert row["warm_gpus"] == 4
    assert row["pending_replicas"] == 0
    assert supply_row(supply)["ceiling"] == 48
    assert supply_row(supply)["headroom_risk"] is None


def test_no_more_is_asked_for_than_the_ceiling() -> None:
    found = cluster(rules=replace(RULES, most_nodes=2))
    known = KnownSupply(found, CLOCK)
    supply = known.look(KnownStarts(2, CLOCK))
    assert known.patch([40, 1], supply) == [14, 1]
    assert known.patch([1, 0], supply) == [1, 0]


def test_after_a_refusal_only_what_is_free_may_be_had_until_the_back_off_has_passed() -> None:
    found = cluster(given=luck(outages=((0.0, 200.0),)))
    known, starts = KnownSupply(found, CLOCK), KnownStarts(2, CLOCK)
    found.scale([9, 1])
    found.advance(60.0)
    supply = known.look(starts)
    assert not supply.may_ask
    assert known.state_row(1, supply)["new_node_gpus"] == 0
    assert known.patch([15, 1], supply) == [9, 1]
    found.advance(420.0)  # the node has come by now
    supply = known.look(starts)
    assert supply.may_ask
    assert known.patch([15, 1], supply) == [15, 1]


def test_a_node_that_was_launched_ends_the_back_off_before_it_is_there() -> None:
    found = cluster(given=luck(outages=((0.0, 100.0),)))
    known, starts = KnownSupply(found, CLOCK), KnownStarts(2, CLOCK)
    found.scale([9, 1])
    found.advance(60.0)
    assert not known.look(starts).may_ask
    assert known.state.retry_at is not None
    found.advance(240.0)  # the pool has asked again, and its node is on its way
    assert not all(node.is_there for node in found.pool.nodes)
    assert known.state.retry_at > CLOCK.at(240.0)
    supply = known.look(starts)
    assert supply.may_ask
    assert known.patch([15, 1], supply) == [15, 1]


def test_a_refusal_makes_the_next_increase_an_attempt() -> None:
    found = cluster(given=luck(outages=((0.0, 5000.0),)))
    known, starts = KnownSupply(found, CLOCK), KnownStarts(2, CLOCK)
    found.scale([9, 1])
    found.advance(60.0)
    known.look(starts)
    assert known.state.retry_at is not None
    wait_s = (known.state.retry_at - CLOCK.at(0.0)).total_seconds()
    found.advance(wait_s + 1.0)
    supply = known.look(starts)
    if supply.may_ask:
        known.patch([15, 1], supply)
        assert known.state.attempted_at is not None
        assert not known.state.may_ask(CLOCK.at(found.now_s + 30.0))
