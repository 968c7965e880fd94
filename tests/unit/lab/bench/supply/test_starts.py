"""Starts as rows, and the lead times that the decision service learns from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.kernel.domain.lead_time import COLD, WARM
from services.lab.bench.supply.known_supply import KnownSupply, supply_row
from services.lab.bench.supply.starts import KnownStarts, RunClock, interval_of
from services.operator.plan.provisioning import NO_WAITS
from tests.unit.lab.bench.supply.small import cluster, luck, workload

CLOCK = RunClock(1_768_089_600.0)


def lead_time(found: Any, starts: KnownStarts, service: int = 0) -> np.ndarray:
    starts.look(found)
    known = KnownSupply(found, CLOCK)
    supply = known.look(starts)
    state = known.state_row(service, supply)
    spec = workload("one", 1).to_spec()
    return starts.lead_time_s(service, spec, state, supply_row(supply), found.now_s)


def test_a_start_is_told_with_its_cause_and_its_node() -> None:
    found, starts = cluster(), KnownStarts(2, CLOCK)
    found.scale([6, 1])
    found.advance(5.0)
    starts.look(found)
    under_way = starts.rows(0)
    assert len(under_way) == 4
    assert {row["cause"] for row in under_way} == {WARM}
    assert all(row["ready_at"] is None for row in under_way)
    found.advance(40.0)
    found.scale([8, 1])
    starts.look(found)
    *ended, waits, _ = starts.rows(0)
    assert [(row["ready_at"] - row["requested_at"]).total_seconds() for row in ended] == [30.0] * 4
    assert (waits["bound_at"], waits["cause"], waits["is_new_node"]) == (None, None, None)
    found.advance(400.0)
    starts.look(found)
    assert {row["cause"] for row in starts.rows(0)[-2:]} == {COLD}
    assert all(row["is_new_node"] for row in starts.rows(0)[-2:])
    assert list(starts.startups_s) == [120.0, 120.0]


def test_each_look_takes_up_what_is_new() -> None:
    found, starts = cluster(), KnownStarts(2, CLOCK)
    for n in (3, 4, 5):
        found.scale([n, 1])
        found.advance(found.now_s + 60.0)
        starts.look(found)
        starts.look(found)
    assert len(starts.rows(0)) == 3


def test_a_start_that_was_taken_away_ends_without_being_ready() -> None:
    found, starts = cluster(), KnownStarts(2, CLOCK)
    found.scale([3, 1])
    found.advance(1.0)
    found.scale([2, 1])
    starts.look(found)
    (row,) = starts.rows(0)
    assert row["ready_at"] is None
    assert row["gone_at"] == CLOCK.at(1.0)


def test_waits_in_vain_are_learned_until_none_can_be_had() -> None:
    """As the operator learns them: of a refusal the longest, and nothing of what comes after."""
    found, starts = cluster(given=luck(outages=((0.0, 2000.0),))), KnownStarts(2, CLOCK)
    known = KnownSupply(found, CLOCK)
    found.scale([8, 1])  # two more than there is room for
    for at_s in range(10, 3000, 10):
        found.advance(float(at_s))
        starts.look(found)
        law = known.look(starts).startup
        if at_s == 1000:
            assert known.state.is_refused
            assert len(starts.vain_s) == 1
            assert starts.vain_s[0] <= 20.0
    assert not known.state.is_refused
    assert [row["is_new_node"] for row in starts.rows(0)[-2:]] == [True, True]
    assert not starts.startups_s, "how long the outage was is no start-up of a node"
    assert law.median_s == pytest.approx(300.0, rel=0.05)


def test_a_replica_that_went_without_a_node_tells_how_long_it_waited() -> None:
    found, starts = cluster(), KnownStarts(2, CLOCK)
    found.scale([9, 1])
    found.advance(100.0)
    starts.look(found)
    assert starts.waits == NO_WAITS
    found.scale([6, 1])
    starts.look(found)
    assert list(starts.vain_s) == [100.0]


def test_a_start_without_a_free_gpu_is_expected_to_take_the_node_too() -> None:
    found, starts = cluster(), KnownStarts(2, CLOCK)
    here = lead_time(found, starts)
    found.scale([6, 1])  # the node is full now
    found.advance(60.0)
    there = lead_time(found, starts)
    assert np.median(there) > np.median(here) + 60.0


def test_lead_times_are_learned_anew_every_two_minutes_and_where_another_law_holds() -> None:
    found, starts = cluster(), KnownStarts(2, CLOCK)
    before = lead_time(found, starts)
    found.advance(60.0)
    assert lead_time(found, starts) is before
    found.scale([6, 1])  # the node is full
    now = lead_time(found, starts)
    assert now is not before
    found.advance(190.0)
    assert lead_time(found, starts) is not now


def test_the_interval_leaves_five_per_cent_on_either_side() -> None:
    assert interval_of(np.arange(101.0)) == pytest.approx((5.0, 95.0))
