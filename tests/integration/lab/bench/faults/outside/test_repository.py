"""What the bench reads of the rows."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.lab.bench.faults.fleet import DEMAND
from services.lab.bench.faults.outside import repository
from tests.integration.lab.bench.faults.planted_rows import FIRST, N_ORIGINS, PlantedFleet, plant

pytestmark = pytest.mark.integration


@pytest.fixture
def planted(database: Engine) -> PlantedFleet:
    return plant(database)


def test_the_newest_origin_with_an_action_is_settled(planted: PlantedFleet) -> None:
    with planted.engine.connect() as connection:
        found = repository.load_settled(connection, FIRST)
        late = repository.load_settled(connection, planted.origin(N_ORIGINS))
    healthy = [one.key for one in planted.fleet.healthy]
    assert found == dict.fromkeys(healthy, planted.origin(N_ORIGINS - 1))
    assert late == {}


def test_workloads_with_an_action_are_counted(planted: PlantedFleet) -> None:
    names = [one.key for one in planted.fleet.members]
    with planted.engine.connect() as connection:
        assert repository.count_decided(connection, names) == 2
        assert repository.count_decided(connection, names[:1]) == 1


def test_open_intents_and_failing_workloads_are_read(planted: PlantedFleet) -> None:
    values = {"at": FIRST, "id": planted.ids[planted.first]}
    planted.execute("INSERT INTO intents VALUES (9, 2, :at, :id, 1, 2, '[]', :at)", **values)
    planted.execute(
        "INSERT INTO workload_errors VALUES (:id, 'decide', 'too large', :at, :at)",
        **values,
    )
    with planted.engine.connect() as connection:
        (intent,) = repository.load_intents(connection)
        assert repository.load_failing(connection) == {planted.first: "decide: too large"}
    assert (intent.key, intent.decision_id, intent.attempt) == (planted.first, 9, 2)


def test_samples_are_read_by_their_seconds(planted: PlantedFleet) -> None:
    with planted.engine.connect() as connection:
        found = repository.load_sample_seconds(connection, DEMAND, FIRST)
    assert found == {planted.first: {int(FIRST.timestamp())}}


def test_the_engine_of_the_bench_reaches_the_server(database_url: str) -> None:
    engine = repository.outside_engine(database_url)
    with engine.connect() as connection:
        assert repository.load_failing(connection) == {}
    engine.dispose()
