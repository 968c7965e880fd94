"""Sweeps have old rows moved until none is left."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.moving import move_indicators
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.jobs import Job, RecordingSender
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.pushes import RATE, T0

pytestmark = pytest.mark.integration


def test_sweeps_send_the_job_until_all_is_moved(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    ids = register(3)
    add = "INSERT INTO indicator_values SELECT id, :name, :at, 1.5, true FROM workloads"
    with deps.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE indicators_p20260101 PARTITION OF indicator_values "
                "FOR VALUES FROM ('2026-01-01') TO ('2026-01-08')"
            )
        )
        connection.execute(text(add), {"name": RATE, "at": T0})
    service.sweep(deps, clock.now())
    assert sender.sent[-1] == Job(jobs.MOVE_INDICATORS)
    assert move_indicators(deps) == 3
    assert move_indicators(deps) == 0
    sender.sent.clear()
    service.sweep(deps, clock.now())
    assert jobs.MOVE_INDICATORS not in {job.name for job in sender.sent}
    for workload_id in ids:
        assert stored_steps(deps.engine, workload_id, RATE) == [(T0, 1.5)]
