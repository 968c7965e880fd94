"""Faults of what is stored or sent, on a real database and a real broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import Engine

from services.lab.bench.faults.acts import data, sabotage_repository as sabotage
from services.lab.bench.faults.fleet import FaultFleet, make_fleet
from services.lab.bench.faults.outside.sender import SendingLog
from tests.integration.decision.stored_rows import add_demand, add_forecast, add_workload

pytestmark = pytest.mark.integration


@dataclass
class SentBy:
    """What the acts use of the sender."""

    log: SendingLog = field(default_factory=SendingLog)
    is_poisoned: bool = False


@dataclass
class SmallRig:
    """What the acts use of a rig."""

    engine: Any = None
    broker: Any = None
    cluster: Any = None
    fleet: FaultFleet = field(default_factory=lambda: make_fleet(3))
    sender: SentBy = field(default_factory=SentBy)


def test_a_broker_that_held_something_forgets_it(redis_url: str) -> None:
    rig: Any = SmallRig(broker=redis.Redis.from_url(redis_url))
    empty = data.FlushBroker()
    assert empty.begin(rig)
    assert not empty.has_bitten(rig)
    rig.broker.set("job", 1)
    act = data.FlushBroker()
    assert act.begin(rig)
    assert act.end(rig)
    assert act.has_bitten(rig)
    assert rig.broker.dbsize() == 0
    rig.broker.close()


def test_a_full_disk_has_bitten_once_a_write_found_it(database: Engine) -> None:
    rig: Any = SmallRig(engine=database)
    workload = add_workload(database, "w")
    act = data.FillDisk()
    assert act.begin(rig)
    assert not act.has_bitten(rig)
    with pytest.raises(Exception, match="No space left"):
        add_forecast(database, workload, 10.0)
    assert act.end(rig)
    assert act.has_bitten(rig)
    add_demand(database, workload, [1.0])


def test_garbage_has_bitten_once_a_forecast_says_so(database: Engine) -> None:
    rig: Any = SmallRig(engine=database)
    act = data.GarbageModel("half")
    assert act.begin(rig)
    assert not act.has_bitten(rig)
    with database.begin() as connection:
        assert sabotage.count_garbage_answers(connection, "half", act._since) == 0
    assert act.end(rig)


def test_a_migration_has_bitten_once_it_has_failed(database: Engine) -> None:
    rig: Any = SmallRig(engine=database)
    act = data.FailedMigration(0.0)
    assert not act.has_bitten(rig)
    assert act.begin(rig)
    assert act.end(rig)
    assert act.has_bitten(rig)


def test_poison_has_bitten_once_it_was_sent() -> None:
    rig: Any = SmallRig()
    act = data.PoisonValues()
    assert act.begin(rig)
    assert rig.sender.is_poisoned
    assert not act.has_bitten(rig)
    rig.sender.log.n_poisoned += 1
    assert act.end(rig)
    assert not rig.sender.is_poisoned
    assert act.has_bitten(rig)


@pytest.mark.parametrize(("code", "works"), [(200, True), (422, True), (500, False)])
def test_a_poisoned_spec_is_taken_refused_or_tried_again(code: int, works: bool) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(code)

    client = httpx.Client(base_url="http://cluster", transport=httpx.MockTransport(answer))
    rig: Any = SmallRig(cluster=client)
    act = data.PoisonSpec()
    assert act.begin(rig) is works
    assert act.end(rig) is works
    assert act.has_bitten(rig) is works
    assert rig.fleet.victim.name in str(asked[0].url)
    assert b'"0.00000001"' in asked[0].content
    assert b'"100"' in asked[1].content
