"""Rivals: their grids, what cron learns, and that placeholders buy time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.lab.bench.supply.demand import seen_demand
from services.lab.bench.supply.options import CRON, HEADROOM, HPA, SupplyOptions
from services.lab.bench.supply.rivals import (
    ALONE_PERCENT,
    HourlyMinima,
    cron_floors,
    run_rival,
    supply_rivals,
)
from services.lab.bench.supply.run import cluster_maker
from tests.unit.lab.bench.supply.small import N_HISTORY, task

CALM = SupplyOptions(spot_per_day=0.0, failure_share=0.0)


def only(given, name, *settings):
    """A rival with few of its settings, by label."""
    rival = supply_rivals(given, 600.0, is_quick=False)[name]
    minima = rival.minima
    at = [rival.labels.index(label) for label in settings]
    targets = np.atleast_1d(rival.policy.target_percent)[at]
    return replace(
        rival,
        policy=replace(rival.policy, target_percent=targets),
        labels=tuple(settings),
        reserve_gpus=tuple(rival.reserve_gpus[i] for i in at) if rival.reserve_gpus else (),
        minima=None if minima is None else HourlyMinima(minima.floors[at], minima.early_s[at]),
    )


def test_every_grid_has_a_label_for_each_setting() -> None:
    for rival in supply_rivals(task(), 600.0, is_quick=False).values():
        assert len(rival.labels) == len(set(rival.labels)) == rival.policy.n_settings
    quick = supply_rivals(task(), 600.0, is_quick=True)
    assert all(len(rival.labels) <= 20 for rival in quick.values())
    assert set(quick) == {HPA, HEADROOM, CRON}


def test_the_best_headroom_may_be_none() -> None:
    given = task(35.0, 25.0, n_replay=60)
    rivals = supply_rivals(given, 600.0, is_quick=False)
    bare = [label for label in rivals[HEADROOM].labels if label.endswith(", 0 GPUs ready")]
    assert bare == [f"target {p} %, 0 GPUs ready" for p in ALONE_PERCENT]
    make = cluster_maker(given, CALM, 300.0)
    (held,) = run_rival(given, only(given, HEADROOM, "target 60 %, 0 GPUs ready"), make)
    (plain,) = run_rival(given, only(given, HPA, "target 60 %"), make)
    assert (held.figures.rate, held.figures.node_hours) == (
        plain.figures.rate,
        plain.figures.node_hours,
    )


def test_a_lower_target_costs_more_and_breaks_less() -> None:
    given = task(35.0, 25.0, n_replay=120)
    rival = only(given, HPA, "target 20 %", "target 90 %")
    safe, lean = run_rival(given, rival, cluster_maker(given, CALM, 300.0))
    assert safe.figures.rate < lean.figures.rate
    assert safe.figures.node_hours > lean.figures.node_hours


def test_placeholders_let_starts_wait_less() -> None:
    given = task(35.0, 25.0, n_replay=120)
    make = cluster_maker(given, CALM, 600.0)
    (plain,) = run_rival(given, only(given, HPA, "target 60 %"), make)
    (held,) = run_rival(given, only(given, HEADROOM, "target 60 %, 24 GPUs ready"), make)
    assert held.figures.pending_replica_hours < plain.figures.pending_replica_hours
    assert held.figures.rate < plain.figures.rate
    assert held.figures.node_hours > plain.figures.node_hours


def test_cron_asks_for_what_the_hour_needed_in_the_history() -> None:
    given = task(20.0)
    fleet = given.fleet
    demand = fleet.demand.copy()
    hour = ((fleet.start_s + 60 * np.arange(fleet.n_steps)) // 3600) % 24
    demand[:, hour == 5] = 90.0
    fleet = replace(fleet, demand=demand, values=demand[:, :, None].copy())
    given = replace(given, fleet=fleet, seen=seen_demand(fleet))
    floors = cron_floors(given, 0.5, 1.0)
    assert floors[5].tolist() == [9.0, 9.0]
    assert floors[6].tolist() == [2.0, 2.0]
    assert cron_floors(given, 0.5, 100.0).max() == 20.0  # no schedule asks beyond the bounds


def test_cron_keeps_its_minimum_where_demand_is_low() -> None:
    given = task(50.0)
    fleet = given.fleet
    demand = fleet.demand.copy()
    demand[:, N_HISTORY:] = 5.0
    fleet = replace(fleet, demand=demand, values=demand[:, :, None].copy())
    given = replace(given, fleet=fleet, seen=seen_demand(fleet))
    rival = only(given, CRON, "target 75 %, p50 of the hour x 1")
    (found,) = run_rival(given, rival, cluster_maker(given, CALM, 60.0))
    counted_h = (fleet.n_replay - given.n_warm_up) / 60.0
    assert found.figures.replica_hours == pytest.approx(2 * 5 * counted_h, rel=0.05)


def test_keda_with_a_schedule_decides_as_often_as_the_hpa_that_it_makes() -> None:
    rivals = supply_rivals(task(), 600.0, is_quick=False)
    assert rivals[CRON].cadence_s == rivals[HPA].cadence_s == 15.0


def test_a_schedule_may_begin_one_or_two_start_ups_before_its_hour() -> None:
    labels = supply_rivals(task(), 600.0, is_quick=False)[CRON].labels
    plain = "target 75 %, p80 of the hour x 1.2"
    assert {plain, f"{plain}, 10 min early", f"{plain}, 20 min early"} <= set(labels)
    assert len(labels) == 144


def test_the_largest_minimum_holds_of_the_hour_and_of_those_that_begin_soon() -> None:
    floors = np.zeros((3, 24, 1))
    floors[:, 4], floors[:, 5], floors[:, 6] = 3.0, 9.0, 2.0
    minima = HourlyMinima(floors, np.array([0.0, 600.0, 7200.0]))

    def at(hours: float) -> list[float]:
        return minima.at(86_400.0 * 20_000 + 3600.0 * hours)[:, 0].tolist()

    assert at(2.5) == [0.0, 0.0, 3.0]
    assert at(3.5) == [0.0, 0.0, 9.0]  # the fifth hour begins in an hour and a half
    assert at(4.8) == [3.0, 3.0, 9.0]
    assert at(4.9) == [3.0, 9.0, 9.0]
    assert at(5.9) == [9.0, 9.0, 9.0]  # not let go before the hour is over
    assert at(6.5) == [2.0, 2.0, 2.0]
    assert at(23.9) == [0.0, 0.0, 0.0]


def test_where_nodes_are_slow_a_schedule_that_begins_earlier_is_out_of_sla_for_less() -> None:
    given = task(20.0, n_replay=120)
    fleet = given.fleet
    demand = fleet.demand.copy()
    hour = ((fleet.start_s + 60 * np.arange(fleet.n_steps)) // 3600) % 24
    demand[:, hour == 1] = 90.0  # the second hour of the replay, which begins at midnight
    fleet = replace(fleet, demand=demand, values=demand[:, :, None].copy())
    given = replace(given, fleet=fleet, seen=seen_demand(fleet))
    plain = "target 85 %, p50 of the hour x 1"
    rival = only(given, CRON, plain, f"{plain}, 20 min early")
    late, early = run_rival(given, rival, cluster_maker(given, CALM, 600.0))
    assert late.figures.rate > 0.05
    assert early.figures.rate == 0.0


def test_a_rival_is_shown_the_last_complete_minute_alone() -> None:
    given = task(35.0, 10.0)
    changed = replace(given, seen=given.seen.copy())
    changed.seen[:, -1] = 1000.0  # the last minute is complete only when the run is over
    rival = only(given, HPA, "target 60 %")
    make = cluster_maker(given, CALM, 60.0)
    (one,), (other,) = run_rival(given, rival, make), run_rival(changed, rival, make)
    assert one.figures.node_hours == other.figures.node_hours
