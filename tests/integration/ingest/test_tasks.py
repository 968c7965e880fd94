"""Tasks of ingest, and writers while they run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import pytest

from services.ingest import service, tasks
from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.kernel import jobs
from services.kernel.celery_app import make_celery
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
RATE = "request_rate_rps"


def body(workload: str, samples: list[list[float]]) -> bytes:
    entry = {"namespace": "shop", "workload": workload, "indicator": RATE, "samples": samples}
    return orjson.dumps({"observations": [entry]})


def test_writers_and_resampling_at_once_lose_nothing(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    """Every sample ends in its step, whatever ran beside it."""
    ids = register(3)
    clock.advance(300)
    start_s = clock.now().timestamp() - 300
    rng = np.random.default_rng(3)
    samples = [[start_s + float(at), float(at)] for at in rng.permutation(300)]
    bodies = [
        body(f"w{workload}", samples[first : first + 25])
        for first in range(0, 300, 25)
        for workload in range(3)
    ]

    def act(task: bytes | None) -> None:
        if task is None:
            service.resample_shard(deps, 0, clock.now())
        else:
            push(deps, task)

    interleaved = [item for found in bodies for item in (found, None)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(act, interleaved))
    service.resample_shard(deps, 0, clock.now())
    for workload_id in ids:
        values = [value for _, value in stored_steps(deps.engine, workload_id, RATE)]
        assert values == [29.5, 89.5, 149.5, 209.5, 269.5]


@pytest.fixture
def in_worker(deps: IngestDeps, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> IngestDeps:
    monkeypatch.setattr(tasks, "worker_deps", lambda: deps)
    return deps


def test_every_ingest_job_has_its_task(
    in_worker: IngestDeps,
    clock: FixedClock,
    settings: Settings,
    sender: RecordingSender,
    register: Register,
) -> None:
    app = make_celery(settings)
    app.loader.import_module("services.ingest.tasks")
    register()
    clock.advance(60)
    push(in_worker, body("w0", [[clock.now().timestamp() - 30, 5.0]]))
    (job,) = sender.sent
    app.tasks[job.name](**job.payload)
    assert sender.sent[-1].name == jobs.FORECAST_SHARD
    for name in (jobs.INGEST_SWEEP, jobs.RETENTION):
        app.tasks[name]()
    app.tasks[jobs.INGEST_PULL](**job.payload)
    with pytest.raises(ValueError, match="isoformat"):
        app.tasks[jobs.INGEST_RESAMPLE](shard=0, at="soon")
