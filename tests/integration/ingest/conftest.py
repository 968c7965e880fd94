"""A small registered fleet, and the dependencies of ingest on real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, text

from services.ingest.deps import IngestDeps
from services.kernel.clock import FixedClock
from services.kernel.domain import CapacitySpec, IndicatorSpec, SlaSpec, WorkloadSpec
from services.kernel.domain.objective import ObjectiveSpec
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings

INDICATORS = (
    IndicatorSpec(name="request_rate_rps", level=1, unit="requests/s"),
    IndicatorSpec(name="output_tokens_per_s", level=1, unit="tokens/s", kind="counter"),
    IndicatorSpec(name="gpu_temperature_c", level=3, unit="celsius"),
)

CAPACITY = CapacitySpec(per_replica=10.0)

Register = Callable[..., list[int]]


@pytest.fixture
def register(database: Engine, clock: FixedClock) -> Register:
    def add(
        n: int = 1,
        indicators: tuple[IndicatorSpec, ...] = INDICATORS,
        step_s: int = 60,
        shard: int = 0,
        prefix: str = "w",
        objective: ObjectiveSpec | None = None,
        capacity: CapacitySpec = CAPACITY,
    ) -> list[int]:
        spec = WorkloadSpec(
            target="Deployment/x",
            demand=indicators[0].name,
            indicators=indicators,
            capacity=capacity,
            sla=SlaSpec(objective=objective),
        )
        statement = text(
            "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
            "VALUES ('shop', :name, :shard, :step_s, CAST(:spec AS jsonb), :now, :now) "
            "RETURNING id"
        )
        with database.begin() as connection:
            return [
                connection.execute(
                    statement,
                    {
                        "name": f"{prefix}{number}",
                        "shard": shard,
                        "step_s": step_s,
                        "spec": spec.model_dump_json(),
                        "now": clock.now(),
                    },
                ).scalar_one()
                for number in range(n)
            ]

    return add


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@pytest.fixture
def deps(
    database: Engine, clock: FixedClock, sender: RecordingSender, settings: Settings
) -> IngestDeps:
    return IngestDeps(engine=database, clock=clock, sender=sender, settings=settings)


def stored_steps(
    database: Engine, workload_id: int, indicator: str
) -> list[tuple[datetime, float | None]]:
    """(step_at, value or None) of an indicator, in order; holds the flag to the value."""
    statement = text(
        "SELECT step_at, value, is_observed FROM indicators WHERE workload_id = :id "
        "AND indicator = :name ORDER BY step_at"
    )
    with database.connect() as connection:
        rows = connection.execute(statement, {"id": workload_id, "name": indicator}).all()
    assert all((row.value is not None) == row.is_observed for row in rows)
    return [(row.step_at, row.value) for row in rows]


def request(app: FastAPI, method: str, url: str, **options: Any) -> httpx.Response:
    """One request to an application, without a server."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, url, **options)

    return asyncio.run(send())
