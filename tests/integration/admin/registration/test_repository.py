"""Workloads made over REST, as the other services find them."""

from __future__ import annotations

import orjson
import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.registration.rest_workload import BODY, rows, send
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_samples_of_it_are_taken_and_a_forecast_is_asked_for(
    admin: AppClient, database: Engine, deps: AdminDeps
) -> None:
    assert send(admin, "POST", "/v1/workloads", BODY).status_code == 201
    sender = RecordingSender()
    ingest = IngestDeps(database, deps.clock, sender, deps.settings)
    series = {"namespace": "lab", "workload": "chat", "indicator": "output_tokens_per_s"}
    samples = [[NOW.timestamp() + offset_s, 1000.0] for offset_s in (10, 100, 250)]
    assert isinstance(deps.clock, FixedClock)
    deps.clock.advance(400)
    pushed = push(ingest, orjson.dumps({"observations": [series | {"samples": samples}]}))
    assert pushed.n_accepted == 3
    (row,) = rows(database)
    found = service.resample_shard(ingest, row["shard"], deps.clock.now())
    assert NOW in found.origins
    statement = text("SELECT value FROM indicators WHERE workload_id = :id AND is_observed")
    with database.connect() as connection:
        assert connection.execute(statement, {"id": row["id"]}).scalars().all() == [1000.0]
    assert jobs.FORECAST_SHARD in {job.name for job in sender.sent}
