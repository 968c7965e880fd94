"""Readings of pods: the newest stays, and the operator's statement reads what was stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from services.ingest.deps import IngestDeps
from services.ingest.series.in_flight_repository import store_in_flight
from services.kernel.db.session import unit_of_work
from services.operator.stored.in_flight_repository import load_in_flight
from tests.integration.ingest.conftest import INDICATORS, Register

pytestmark = pytest.mark.integration
READ_S = timedelta(seconds=15)


def store(engine: Engine, found: Mapping[int, Mapping[str, float]], at: datetime) -> None:
    with unit_of_work(engine) as work:
        store_in_flight(work.connection, found, at)


def load(engine: Engine, workload_id: int, oldest: datetime) -> Mapping[str, float]:
    with engine.connect() as connection:
        return load_in_flight(connection, [workload_id], oldest).get(workload_id, {})


def test_a_reading_replaces_the_one_before_and_no_newer_one(
    deps: IngestDeps, register: Register
) -> None:
    first, second = register(2, INDICATORS)
    at = deps.clock.now()
    store(deps.engine, {first: {"a": 3.0, "b": 0.5}, second: {"c": 1.0}}, at)
    store(deps.engine, {first: {"b": 2.0}}, at + READ_S)
    store(deps.engine, {first: {"late": 9.0}}, at)
    assert load(deps.engine, first, at) == {"b": 2.0}
    assert load(deps.engine, second, at) == {"c": 1.0}


def test_old_readings_and_those_of_nobody_are_not_known(
    deps: IngestDeps, register: Register
) -> None:
    (workload_id,) = register(1, INDICATORS)
    at = deps.clock.now()
    store(deps.engine, {workload_id: {"a": 3.0}, workload_id + 99: {"x": 1.0}}, at)
    store(deps.engine, {}, at)
    assert load(deps.engine, workload_id, at + READ_S) == {}
    assert load(deps.engine, workload_id + 99, at) == {}
