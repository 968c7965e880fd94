"""One workload that cannot be resampled keeps no other's steps from being closed."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.pushes import RATE, T0, at_s, body, push_rate, resample

pytestmark = pytest.mark.integration


def test_the_others_are_resampled_and_forecast(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    good, bad = register(n=2)
    clock.advance(60)
    push_rate(deps, (10, 1.0))
    with deps.engine.begin() as connection:
        connection.execute(
            text(
                'UPDATE workloads SET spec = spec || \'{"max_replicas": "many"}\', '
                "spec_version = spec_version + 1 WHERE id = :id"
            ),
            {"id": bad},
        )

    done = resample(deps)

    assert done.origins == (T0,)
    assert stored_steps(deps.engine, good, RATE) == [(T0, 1.0)]
    assert sender.sent[-1] == jobs.shard_job(jobs.FORECAST_SHARD, 0, T0)
    with deps.engine.connect() as connection:
        (row,) = connection.execute(text("SELECT workload_id, stage FROM workload_errors"))
    assert tuple(row) == (bad, "resample")


def test_the_samples_of_the_others_are_taken_from_the_same_push(
    deps: IngestDeps, register: Register
) -> None:
    good, bad = register(n=2)
    with deps.engine.begin() as connection:
        connection.execute(text("UPDATE workloads SET spec = 'null' WHERE id = :id"), {"id": bad})

    result = push(deps, body(("w0", RATE, [[at_s(10), 1.0]]), ("w1", RATE, [[at_s(10), 1.0]])))

    assert result.n_accepted == 1
    assert [(one.reason, one.count) for one in result.rejected] == [("unknown_workload", 1)]
    with deps.engine.connect() as connection:
        assert connection.scalars(text("SELECT workload_id FROM observations")).all() == [good]
