"""Starts as rows, and the lead times that the decision service learns from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.kernel.domain.lead_time import COLD, WARM
from services.lab.bench.supply.known_supply import KnownSupply, supply_row
from services.lab.bench.supply.starts import KnownStarts, RunClock, interval_of
from tests.unit.lab.bench.supply.small import cluster, workload

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
