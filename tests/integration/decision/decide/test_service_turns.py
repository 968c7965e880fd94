"""Turns of decisions: gold first where an origin was passed over, the others once forecast."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.db.turns import (
    DECIDE,
    FORECAST,
    Asked,
    load_waiting,
    note_asked,
    note_done,
)
from services.kernel.jobs import DECIDE_SHARD, Job, RecordingSender
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    STEP_S,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    decisions,
)

pytestmark = pytest.mark.integration

LATER = ORIGIN + 2 * STEP


def add(deps: DecisionDeps, name: str, sla_class: str) -> int:
    workload = add_workload(deps.engine, name, sla={"sla_class": sla_class})
    add_demand(deps.engine, workload, [95.0] * 30)
    add_state(deps.engine, workload, 10)
    return workload


def waiting(deps: DecisionDeps) -> dict[int, datetime]:
    with unit_of_work(deps.engine) as work:
        return load_waiting(work.connection, DECIDE)


def sent(deps: DecisionDeps) -> list[Job]:
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    found = [job for job in sender.sent if job.name == DECIDE_SHARD]
    sender.sent.clear()
    return found


def test_those_that_wait_are_decided_on_once_they_are_forecast(deps: DecisionDeps) -> None:
    gold, bronze = add(deps, "gold", "gold"), add(deps, "bronze", "bronze")
    for n, workload in enumerate((gold, bronze)):
        add_forecast(deps.engine, workload, 100.0, forecast_id=1 + n)
    assert service.decide_shard(deps, 0, ORIGIN).n_decisions == 2
    clock = FixedClock(NOW)
    clock.advance(2 * STEP_S)
    late = replace(deps, clock=clock)
    add_forecast(deps.engine, gold, 110.0, forecast_id=3, origin_at=LATER)
    assert service.decide_shard(late, 0, LATER).n_decisions == 1
    assert [job.is_deferred for job in sent(late)] == [True]
    assert waiting(late) == {0: LATER}

    # the deferred decision comes before its forecast: it is not its turn yet
    assert service.decide_shard(late, 0, LATER, is_rest=True) == service.ShardReport(0, 0)
    assert waiting(late) == {0: LATER}
    add_forecast(deps.engine, bronze, 110.0, forecast_id=4, origin_at=LATER)
    assert service.sweep(late) == 1
    assert [job.is_deferred for job in sent(late)] == [True], "gold is not asked for again"
    assert service.decide_shard(late, 0, LATER, is_rest=True).n_decisions == 1
    assert waiting(late) == {}


def decided_at(deps: DecisionDeps) -> dict[int, list[datetime]]:
    found: dict[int, list[datetime]] = {}
    for row in decisions(deps.engine):
        found.setdefault(int(row["workload_id"]), []).append(row["origin_at"])
    return {workload: sorted(origins) for workload, origins in found.items()}


def passed_by_gold(deps: DecisionDeps) -> tuple[DecisionDeps, int, int]:
    """Both are forecast at an origin, gold alone at a later one, and nothing is decided on."""
    gold, bronze = add(deps, "gold", "gold"), add(deps, "bronze", "bronze")
    for n, workload in enumerate((gold, bronze)):
        add_forecast(deps.engine, workload, 100.0, forecast_id=1 + n)
    add_forecast(deps.engine, gold, 110.0, forecast_id=3, origin_at=LATER)
    with unit_of_work(deps.engine) as work:
        note_asked(work.connection, DECIDE, 0, LATER)
    clock = FixedClock(NOW)
    clock.advance(2 * STEP_S)
    return replace(deps, clock=clock), gold, bronze


def test_what_was_forecast_for_the_others_is_decided_on_where_forecasts_are_shed(
    deps: DecisionDeps,
) -> None:
    late, gold, bronze = passed_by_gold(deps)
    with unit_of_work(deps.engine) as work:
        other = Asked(FORECAST, 1, LATER, STEP)
        note_asked(work.connection, FORECAST, 1, LATER)
        note_done(work.connection, other, is_waiting=True, now=late.clock.now())
    assert service.decide_shard(late, 0, ORIGIN).n_decisions == 2
    assert decided_at(late) == {gold: [LATER], bronze: [ORIGIN]}, "each at its newest forecast"
    assert sent(late) == []
    assert waiting(late) == {}
    assert service.decide_shard(late, 0, LATER).n_decisions == 0
    assert service.sweep(late) == 0


def test_others_that_wait_are_decided_on_at_their_own_newest_forecast(deps: DecisionDeps) -> None:
    late, gold, bronze = passed_by_gold(deps)
    assert service.decide_shard(late, 0, ORIGIN).n_decisions == 1
    assert decided_at(late) == {gold: [LATER]}
    assert [job.is_deferred for job in sent(late)] == [True]
    assert service.decide_shard(late, 0, LATER, is_rest=True).n_decisions == 1
    assert decided_at(late) == {gold: [LATER], bronze: [ORIGIN]}
    assert waiting(late) == {}


def measured(deps: DecisionDeps) -> set[int]:
    with deps.engine.connect() as connection:
        return set(connection.scalars(text("SELECT DISTINCT workload_id FROM outcomes")))


def test_where_forecasts_are_shed_only_what_is_forecast_is_measured(deps: DecisionDeps) -> None:
    """A run over a whole shard for the sake of a few is what overload is made of."""
    gold, bronze = add(deps, "gold", "gold"), add(deps, "bronze", "bronze")
    for workload in (gold, bronze):
        add_state(deps.engine, workload, 10, at=ORIGIN)
    add_forecast(deps.engine, gold, 100.0, forecast_id=1)
    with unit_of_work(deps.engine) as work:
        note_asked(work.connection, FORECAST, 0, ORIGIN)
        shed = Asked(FORECAST, 0, ORIGIN, STEP)
        note_done(work.connection, shed, is_waiting=True, now=deps.clock.now())
    assert service.decide_shard(deps, 0, ORIGIN).n_decisions == 1
    assert measured(deps) == {gold}
    assert service.decide_shard(deps, 0, ORIGIN) == service.ShardReport(0, 0)
    with unit_of_work(deps.engine) as work:
        note_done(work.connection, shed, is_waiting=False, now=deps.clock.now())
    add_forecast(deps.engine, bronze, 100.0, forecast_id=2)
    assert service.decide_shard(deps, 0, ORIGIN).n_decisions == 1
    assert measured(deps) == {gold, bronze}
