"""The gauges that an HPA can follow: what is not known has no series."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.kernel import telemetry
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.errors import NotFound, Unavailable
from services.kernel.settings import Settings
from services.scaler.service import FleetFacts, ScalerDeps, advise_one
from tests.integration.scaler.conftest import NAMESPACE, Rows

pytestmark = pytest.mark.integration

COUNT = "harmony_advised_replicas"
ENDS = "harmony_advice_expires_timestamp_seconds"


@pytest.fixture
def deps(database: Engine, settings: Settings, clock: FixedClock) -> ScalerDeps:
    return ScalerDeps(database, clock, settings)


@pytest.fixture
def board(clock: FixedClock) -> Iterator[FleetFacts]:
    board = FleetFacts()
    yield board
    board.facts = {}
    board.publish(clock.now())


def series(name: str) -> dict[str, float]:
    """Values of a gauge by workload."""
    return {
        sample.labels["workload"]: sample.value
        for metric in telemetry.REGISTRY.collect()
        if metric.name == name
        for sample in metric.samples
    }


def test_a_count_ends_with_its_decision_also_without_a_database(
    deps: ScalerDeps, board: FleetFacts, rows: Rows
) -> None:
    rows.decide(rows.register("llama"), 7)
    rows.register("undecided")
    board.refresh(deps)
    board.publish(rows.clock.now())
    ends_s = rows.clock.now().timestamp() + 3 * rows.step_s
    assert series(COUNT) == {"llama": 7}
    assert series(ENDS) == {"llama": ends_s}
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("ALTER TABLE workloads RENAME TO elsewhere"))
    with pytest.raises(Unavailable, match="database"):
        board.refresh(deps)
    rows.clock.advance(3 * rows.step_s - 1)
    board.publish(rows.clock.now())
    assert series(COUNT) == {"llama": 7}
    rows.clock.advance(1)
    board.publish(rows.clock.now())
    assert series(COUNT) == {}
    assert series(ENDS) == {"llama": ends_s}, "a rule can tell how stale it is"


def test_what_is_gone_leaves_no_series(deps: ScalerDeps, board: FleetFacts, rows: Rows) -> None:
    rows.decide(rows.register("llama"), 7)
    rows.decide(rows.register("mistral"), 0)
    board.refresh(deps)
    board.publish(rows.clock.now())
    assert series(COUNT) == {"llama": 7, "mistral": 1}
    rows.deactivate("mistral")
    board.refresh(deps)
    board.publish(rows.clock.now())
    assert series(COUNT) == {"llama": 7}
    assert series(ENDS).keys() == {"llama"}
    with pytest.raises(NotFound, match="serving/mistral"):
        board.advice(("serving", "mistral"), rows.clock.now())


def test_a_changed_spec_counts_and_an_unreadable_one_is_left_out(
    deps: ScalerDeps, board: FleetFacts, rows: Rows
) -> None:
    rows.decide(rows.register("llama", max_replicas=9), 12)
    rows.decide(rows.register("mistral"), 3)
    board.refresh(deps)
    rows.register("llama", max_replicas=15)
    with unit_of_work(rows.engine) as work:
        statement = (
            'UPDATE workloads SET spec = spec || \'{"max_replicas": "many"}\', spec_version = 9 '
        )
        work.connection.execute(text(f"{statement} WHERE name = 'mistral'"))
    board.refresh(deps)
    board.publish(rows.clock.now())
    assert series(COUNT) == {"llama": 12}


def test_two_queries_at_first_then_one(
    deps: ScalerDeps, board: FleetFacts, rows: Rows, n_queries: list[str]
) -> None:
    for name in ("a", "b", "c"):
        rows.register(name)
    n_queries.clear()
    board.refresh(deps)
    assert len(n_queries) == 2
    board.refresh(deps)
    assert len(n_queries) == 3


def test_each_variant_has_a_series_and_an_advice_of_its_own(
    deps: ScalerDeps, board: FleetFacts, rows: Rows
) -> None:
    variants = [
        {"name": name, "target": f"Deployment/{name}", "gpu_type": gpu_type}
        for name, gpu_type in (("h100", "H100"), ("l4", "L4"))
    ]
    decided = [{"name": "h100", "desired": 5}, {"name": "l4", "desired": 2}]
    rows.decide(rows.register("llama", variants=variants), 6, variants=json.dumps(decided))
    board.refresh(deps)
    board.publish(rows.clock.now())
    assert series(COUNT) == {"llama_h100": 5, "llama_l4": 2}
    assert advise_one(deps, ("serving", "llama"), "l4").count == 2
    assert "has variants (h100, l4)" in advise_one(deps, ("serving", "llama")).problem


def test_a_variant_worth_less_than_stated_is_advised_as_it_was_decided(
    deps: ScalerDeps, board: FleetFacts, rows: Rows
) -> None:
    """Without a maximum of its own: the operator would follow it, and so must a follower."""
    big = {"name": "big", "target": "Deployment/big", "gpu_type": "H100"}
    variants = [big | {"capacity_per_replica": 80.0}]
    key = rows.register("llama", variants=variants, max_replicas=40)
    rows.decide(key, 40, variants=json.dumps([{"name": "big", "desired": 10}]))
    assert advise_one(deps, ("serving", "llama"), "big").count == 5
    decided = [{"name": "big", "desired": 10, "capacity_ratio": 4.0}]
    rows.clock.advance(60)
    rows.decide(key, 40, variants=json.dumps(decided))
    assert advise_one(deps, ("serving", "llama"), "big").count == 10
    board.refresh(deps)
    board.publish(rows.clock.now())
    assert series(COUNT) == {"llama_big": 10}


def test_what_is_of_a_time_to_come_is_not_followed(
    deps: ScalerDeps, board: FleetFacts, rows: Rows
) -> None:
    """A worker and an operator had a clock that was an hour ahead, for a moment."""
    clock, ahead = rows.clock, FixedClock(rows.clock.now() + timedelta(hours=1))
    decided, held = rows.register("llama"), rows.register("mistral", paused=True)
    rows.clock = ahead
    rows.decide(decided, 90)
    rows.see(held, 90)
    rows.clock = clock
    rows.decide(decided, 7)
    rows.see(held, 3)
    board.refresh(deps)
    for name, count in (("llama", 7), ("mistral", 3)):
        assert advise_one(deps, (NAMESPACE, name)).count == count
        assert board.advice((NAMESPACE, name), clock.now()).count == count


@pytest.mark.parametrize(
    "spoilt",
    [
        "decisions SET variants = '{\"big\": 4}'",
        'decisions SET variants = \'[{"name": "big", "desired": "many"}]\'',
        "decisions SET variants = '7'",
        "replica_states SET variants = '{\"big\": 4}'",
        "replica_states SET variants = '[4]'",
    ],
)
def test_rows_that_were_spoilt_by_hand_leave_their_workload_out(
    deps: ScalerDeps, board: FleetFacts, rows: Rows, spoilt: str
) -> None:
    """And no other: of streams, of gauges, and of what is told while the database is away."""
    bad, good = rows.register("llama"), rows.register("mistral")
    for workload_id in (bad, good):
        rows.decide(workload_id, 7)
        rows.see(workload_id, 4)
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text(f"UPDATE {spoilt} WHERE workload_id = {bad}"))
    board.refresh(deps)
    board.publish(rows.clock.now())
    assert series(COUNT) == {"mistral": 7}
    with pytest.raises(NotFound):
        board.advice((NAMESPACE, "llama"), rows.clock.now())


def test_a_decrease_waits_until_the_operator_has_looked_at_it(
    deps: ScalerDeps, board: FleetFacts, rows: Rows
) -> None:
    """A roll-out that it found may go on."""
    llama = rows.register("llama", mode="Auto")

    def counts() -> tuple[int | None, ...]:
        board.refresh(deps)
        one = advise_one(deps, (NAMESPACE, "llama"))
        return one.count, board.advice((NAMESPACE, "llama"), rows.clock.now()).count

    rows.see(llama, 10)
    assert counts() == (None, None)
    first = rows.decide(llama, 2)
    assert counts() == (10, 10)
    rows.act(first, llama, "paused")
    rows.clock.advance(rows.step_s)
    rows.see(llama, 10)
    second = rows.decide(llama, 2)
    assert counts() == (10, 10)
    rows.act(second, llama, "delegated")
    assert counts() == (2, 2)
    rows.clock.advance(1)
    rows.decide(llama, 3)
    assert counts() == (3, 3), "the target was seen with 10 last, and is not sent back there"
    rows.decide(llama, 1)
    assert counts() == (2, 2)
    rows.clock.advance(3 * rows.step_s)
    rows.decide(llama, 1)
    assert counts() == (1, 1), "the operator is away"


def test_what_was_looked_at_is_of_the_policy_in_force(
    deps: ScalerDeps, board: FleetFacts, rows: Rows
) -> None:
    llama = rows.register("llama", mode="Auto")
    rows.see(llama, 10)
    rows.act(rows.decide(llama, 4, policy_version="harmony-0"), llama, "delegated")
    rows.clock.advance(1)
    rows.decide(llama, 2)
    assert advise_one(deps, (NAMESPACE, "llama")).count == 10
