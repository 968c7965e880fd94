"""Ingest as processes run it: tasks in a worker, the API as a server, many writers at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import numpy as np
import orjson
import pytest
from kombu.exceptions import OperationalError

from services.ingest import main, service, tasks
from services.ingest.deps import BestEffortSender, IngestDeps
from services.ingest.series.sources import RangeQuery, SourceError
from services.kernel import jobs, telemetry
from services.kernel.celery_app import make_celery
from services.kernel.clock import FixedClock
from services.kernel.errors import ConfigurationError
from services.kernel.jobs import Job, RecordingSender
from services.kernel.settings import Settings, get_settings
from tests.integration.ingest.conftest import Register, stored_steps
from tests.reported_port import reported_port

pytestmark = pytest.mark.integration
RATE = "request_rate_rps"
T0 = datetime(2026, 1, 5, tzinfo=UTC)


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
            service.push(deps, task)

    interleaved = [item for found in bodies for item in (found, None)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(act, interleaved))
    service.resample_shard(deps, 0, clock.now())
    for workload_id in ids:
        values = [value for _, value in stored_steps(deps.engine, workload_id, RATE)]
        assert values == [29.5, 89.5, 149.5, 209.5, 269.5]


def test_a_broker_that_is_away_costs_no_sample() -> None:
    class Away:
        def send(self, job: Job) -> None:
            raise OperationalError("connection refused")

    labels = {"job": jobs.INGEST_RESAMPLE, "error": "not_sent"}
    name = "harmony_job_failures_total"
    before = telemetry.REGISTRY.get_sample_value(name, labels) or 0
    BestEffortSender(Away()).send(Job(jobs.INGEST_RESAMPLE))
    assert telemetry.REGISTRY.get_sample_value(name, labels) == before + 1


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
    service.push(in_worker, body("w0", [[clock.now().timestamp() - 30, 5.0]]))
    (job,) = sender.sent
    app.tasks[job.name](**job.payload)
    assert sender.sent[-1].name == jobs.FORECAST_SHARD
    for name in (jobs.INGEST_SWEEP, jobs.RETENTION):
        app.tasks[name]()
    app.tasks[jobs.INGEST_PULL](**job.payload)
    with pytest.raises(ValueError, match="isoformat"):
        app.tasks[jobs.INGEST_RESAMPLE](shard=0, at="soon")


def environment(database_url: str, redis_url: str, **other: str) -> dict[str, str]:
    given = {"HARMONY_DATABASE_URL": database_url, "HARMONY_REDIS_URL": redis_url, **other}
    return {**os.environ, **given, "PYTHONUNBUFFERED": "1"}


def run_main(given: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "services.ingest.main"]
    return subprocess.Popen(
        command, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_server_serves_until_it_is_stopped(
    database_url: str, redis_url: str, register: Register
) -> None:
    register()
    process = run_main(environment(database_url, redis_url, HARMONY_INGEST_PORT="0"))
    try:
        url = f"http://127.0.0.1:{reported_port(process, 'ingest')}"
        ready = httpx.get(f"{url}/readyz", trust_env=False, timeout=60)
        assert ready.json() == {"status": "ready"}
        samples = [[time.time(), 1.0]]
        answer = httpx.post(f"{url}/v1/observations", content=body("w0", samples), trust_env=False)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    assert "Traceback" not in output, output


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HARMONY_INGEST_PORT", "taken", "cannot listen there"),
        ("HARMONY_DATABASE_URL", "", "HARMONY_DATABASE_URL is empty"),
        ("HARMONY_DATABASE_URL", "mysql://x", "must be a Postgres URL"),
        ("HARMONY_LATE_S", "soon", "HARMONY_LATE_S='soon'"),
        ("HARMONY_HOST", "0.0.0.0", "HARMONY_PUSH_TOKEN is not set"),
        ("HARMONY_PROMETHEUS_URL", "file:///x", "HARMONY_PROMETHEUS_URL='file:///x'"),
        ("HARMONY_REMOTE_WRITE_RULES", "rules: 3", "HARMONY_REMOTE_WRITE_RULES: rules"),
    ],
)
def test_wrong_settings_are_one_line_and_exit_2(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv("HARMONY_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("HARMONY_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("HARMONY_INGEST_PORT", "0")
    monkeypatch.setattr(main, "configure_logging", lambda level, log_format: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv(name, port if value == "taken" else value)
        get_settings.cache_clear()
        try:
            assert main.main() == 2
        finally:
            get_settings.cache_clear()
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_a_source_that_may_not_be_asked_is_refused(settings: Settings) -> None:
    for url in ("http://127.0.0.1:9090", "http://169.254.169.254"):
        asked = settings.model_copy(update={"prometheus_url": url})
        with pytest.raises(ConfigurationError, match=r"HARMONY_PROMETHEUS_URL.*SOURCE_ALLOW"):
            tasks.make_deps(asked)
    named = {"prometheus_url": "http://localhost:1", "source_allow": ""}
    deps = tasks.make_deps(settings.model_copy(update=named))
    assert deps.source is not None
    with pytest.raises(SourceError, match=r"localhost.*may not be asked") as caught:
        deps.source.fetch(RangeQuery("up", T0, T0, 60))
    assert caught.value.reason == "forbidden"
    deps.close()
    listed = {"prometheus_url": "http://127.0.0.1:1", "source_allow": "127.0.0.1"}
    deps = tasks.make_deps(settings.model_copy(update=listed))
    assert deps.source is not None
    with pytest.raises(SourceError) as caught:
        deps.source.fetch(RangeQuery("up", T0, T0, 60))
    assert caught.value.reason == "unreachable"
    deps.close()


def test_a_wrong_source_url_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="HARMONY_PROMETHEUS_URL"):
        tasks.make_deps(settings.model_copy(update={"prometheus_url": "file:///etc/passwd"}))
