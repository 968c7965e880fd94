"""Harmony's side of a cluster: what it is told, what it holds, what it asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decider import capacity_draws
from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.demand import STEP_S, SupplyTask
from services.lab.bench.supply.ledger import SupplyLedger
from services.lab.bench.supply.own import decide_step, step_inputs
from services.lab.bench.supply.own_side import HarmonySide
from tests.unit.lab.bench.supply.small import RULES, luck, said, task

CAPACITY = [capacity_draws(10.0, 0.0, 64)] * 2


def side_of(
    given: SupplyTask, promise: float = 0.01, most_nodes: int = 8, **of_luck: tuple
) -> HarmonySide:
    ledger = SupplyLedger(given.need, float(STEP_S), 0)
    rules = replace(RULES, most_nodes=most_nodes, is_spot=bool(of_luck.get("notices")))
    made = SupplyCluster(given.services, rules, luck(**of_luck), ledger, given.initial)
    return HarmonySide(given, made, promise)


def go(given: SupplyTask, side: HarmonySide, n_steps: int, spread: float = 0.05) -> None:
    forecasts = said(given, spread)
    for step in range(n_steps):
        inputs = step_inputs(given, forecasts, step, CAPACITY)
        (decisions,) = decide_step(inputs, CAPACITY, [side.ask(inputs)])
        side.apply(decisions, inputs)
        side.cluster.advance((step + 1) * float(STEP_S))


def test_it_holds_room_for_replicas_ready_and_more_the_wider_the_forecast() -> None:
    given = task(35.0)
    narrow, wide = side_of(given), side_of(given)
    go(given, narrow, 12, 0.02)
    go(given, wide, 12, 0.5)
    chunks = [side.cluster.pool.reserve.n_chunks for side in (narrow, wide)]
    assert chunks[0] < chunks[1]
    assert wide.cluster.pool.reserve.chunk_gpus == 1


def test_a_level_that_is_known_is_kept() -> None:
    given = task(35.0)
    side = side_of(given)
    go(given, side, 15)
    figures = side.figures(0.0, 900.0)
    assert figures.figures.rate < 0.05
    assert figures.promise == 0.01
    assert figures.n_held == 0


def test_starts_are_told_an_interval() -> None:
    given = task(35.0, 20.0)
    side = side_of(given)
    go(given, side, 40)
    made = [each for own in side.cluster.starts for each in own]
    assert made
    assert all(each.expected_s is not None for each in made)
    assert side.figures(0.0, 2400.0).n_expected > 0


def test_an_increase_that_the_ceiling_cuts_is_counted_as_held() -> None:
    given = task(35.0, 30.0)
    free, tight = side_of(given), side_of(given, most_nodes=2)
    for side in (free, tight):
        go(given, side, 30, 0.2)
    gpus = np.array([1.0, 2.0])
    assert tight.n_held > free.n_held
    assert tight.cluster.spec @ gpus <= 16.0


def test_what_is_about_to_go_is_replaced_before_it_goes() -> None:
    """A notice half a minute after a decision, nodes in 30 s, starts in 30 s, gone after 120 s."""
    given = task(35.0)
    found = []
    for is_told in (True, False):
        side = side_of(given, notices=(630.0,))
        side.cluster.pool.rules = replace(side.cluster.pool.rules, startup_s=30.0)
        if not is_told:
            side.cluster.on_notice = None
        go(given, side, 10)
        before = side.cluster.spec.copy()
        forecasts = said(given, 0.05)
        inputs = step_inputs(given, forecasts, 10, CAPACITY)
        (decisions,) = decide_step(inputs, CAPACITY, [side.ask(inputs)])
        side.apply(decisions, inputs)
        side.cluster.advance(645.0)
        asked = side.cluster.spec - before
        side.cluster.advance(751.0)
        found.append((asked.sum(), side.cluster.ready.copy()))
    (asked, ready), (nothing, fewer) = found
    assert asked >= 1
    assert nothing == 0
    assert (ready >= 4).all()
    assert ready.sum() > fewer.sum()


def test_decisions_count_what_is_about_to_go_neither_as_asked_for_nor_as_there() -> None:
    given = task(35.0)
    side = side_of(given, notices=(605.0,))
    go(given, side, 10)
    decided = side.cluster.spec.copy()
    side.cluster.advance(660.0)
    inputs = step_inputs(given, said(given), 11, CAPACITY)
    asked = side.ask(inputs)
    replicas = [each.given.replicas for each in asked]
    assert [each.spec for each in replicas] == list(decided)
    assert sum(each.ready for each in replicas) < side.cluster.ready.sum()
    assert side.cluster.spec.sum() > decided.sum()
    on_spot = [each for each in replicas if each.spot is not None]
    assert on_spot
    assert all(each.spot.replicas == each.ready for each in on_spot)
