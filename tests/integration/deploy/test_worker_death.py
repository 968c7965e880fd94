"""A worker that dies or is stopped in the middle of a task: nothing is lost, nothing done twice.

Real worker processes on a real Redis-protocol server and Postgres. A task is caught in its middle
by a lock on the table that it is about to write.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import redis
from sqlalchemy import Engine, text

from services.kernel.celery_app import CelerySender, make_celery
from services.kernel.clock import ReplayClock
from services.kernel.jobs import FORECAST_SHARD, FORECAST_SWEEP, Job, shard_job
from services.kernel.settings import Settings
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration

STEP_S = 60
N_STEPS = 300
START = datetime(2026, 1, 5, tzinfo=UTC)
DEMAND = "request_rate_rps"
SPEC = {
    "target": "Deployment/w",
    "demand": DEMAND,
    "indicators": [{"name": DEMAND, "level": 1}],
    "capacity": {"per_replica": 10.0},
}
# `harmony worker` as it is, but a dead worker's jobs count as lost after a second, not an hour.
HASTY = """
from services.worker import run
make = run.make_celery
def hasty(settings, modules=()):
    app = make(settings, modules)
    app.conf.broker_transport_options["visibility_timeout"] = 1
    return app
run.make_celery = hasty
from services.cli import main
main()
"""


@pytest.fixture
def workload(database: Engine) -> int:
    """A registered workload with demand in every step."""
    statement = text(
        "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
        "VALUES ('shop', 'w', 0, :step_s, CAST(:spec AS jsonb), :at, :at) RETURNING id"
    )
    given = {"step_s": STEP_S, "spec": json.dumps(SPEC), "at": START}
    values = 100 + 50 * np.sin(np.arange(N_STEPS) / 20)
    with database.begin() as connection:
        workload_id = int(connection.execute(statement, given).scalar_one())
        rows = [(workload_id, DEMAND, origin(t), float(v), True) for t, v in enumerate(values)]
        store_indicators(connection, rows)
    return workload_id


def origin(step: int) -> datetime:
    return START + timedelta(seconds=step * STEP_S)


class Workers:
    """Worker processes on the test's servers; those that still run at the end are ended."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        self.env = {
            **os.environ,
            "HARMONY_DATABASE_URL": settings.database_url,
            "HARMONY_REDIS_URL": settings.redis_url,
            "HARMONY_CLOCK": "replay",
            "HARMONY_N_PATHS": "40",
            "HARMONY_LOG_FORMAT": "json",
            "OMP_NUM_THREADS": "1",
        }

    def start(self, *program: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, *program, "worker", "--queues=forecast"]
        log = (self.folder / f"worker-{len(self.running)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                command, env=self.env, cwd=self.folder, stdout=log, stderr=log
            )
        self.running.append(process)
        return process

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"worker-{self.running.index(process)}.log").read_text()

    def done(self, process: subprocess.Popen[bytes], at: datetime) -> int:
        """How many forecasting jobs for `at` it has finished."""
        lines = [line for line in self.said(process).splitlines() if '"job_done"' in line]
        return sum(json.loads(line).get("at") == at.isoformat() for line in lines)


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[Workers]:
    found = Workers(settings, tmp_path)
    yield found
    for process in found.running:
        process.kill()
        process.wait(10)


def until(condition: Callable[[], bool], workers: Workers, why: str, limit_s: float = 90) -> None:
    """Poll what another process does; there is nothing else to wait on."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{why}\n{workers.said(workers.running[-1])}"
        time.sleep(0.05)


@contextmanager
def caught(database: Engine, workers: Workers) -> Iterator[None]:
    """Hold whoever is about to write a forecast; entered once somebody waits."""
    waiting = text(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE NOT l.granted AND d.datname = current_database()"
    )
    with database.connect() as holder, database.connect() as looker:
        holder.execute(text("LOCK TABLE forecasts IN SHARE MODE"))
        until(
            lambda: looker.execute(waiting).scalar_one() > 0, workers, "no worker came to the task"
        )
        looker.rollback()
        yield
        holder.rollback()


@pytest.mark.slow
def test_a_task_survives_its_worker(
    database: Engine, settings: Settings, redis_url: str, workload: int, workers: Workers
) -> None:
    """Killed: delivered again, or sent again by the sweep; stopped: finished first."""
    client = redis.Redis.from_url(redis_url)
    clock = ReplayClock(client)
    sender = CelerySender(make_celery(settings))

    def ask(step: int) -> datetime:
        at = origin(step)
        clock.set(at + timedelta(seconds=STEP_S))
        sender.send(shard_job(FORECAST_SHARD, 0, at))
        return at

    def n_forecasts(at: datetime) -> int:
        query = text("SELECT count(*) FROM forecasts WHERE workload_id = :id AND origin_at = :at")
        with database.connect() as connection:
            return int(connection.execute(query, {"id": workload, "at": at}).scalar_one())

    # 1. killed in the middle; nothing sends the job again but the broker
    first = ask(N_STEPS - 3)
    worker = workers.start("-m", "services.cli")
    with caught(database, workers):
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    assert client.hlen("unacked") == 1, "the job is still the dead worker's"
    assert n_forecasts(first) == 0
    worker = workers.start("-c", HASTY)
    until(lambda: n_forecasts(first) > 0, workers, "the job was not delivered again")
    until(lambda: workers.done(worker, first) == 1, workers, "the job did not end")
    assert n_forecasts(first) == 1
    until(lambda: client.hlen("unacked") == 0, workers, "the job was not acknowledged")

    # 2. killed again; the sweep does not wait for the broker
    second = ask(N_STEPS - 2)
    with caught(database, workers):
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    worker = workers.start("-m", "services.cli")
    sender.send(Job(FORECAST_SWEEP))
    until(lambda: workers.done(worker, second) == 1, workers, "the sweep did not send the job")
    assert n_forecasts(second) == 1
    # the dead worker's delivery is left: the broker would bring it once more, which harms nothing
    until(lambda: client.hlen("unacked") == 1, workers, "the swept job was not acknowledged")

    # 3. told to stop in the middle: finishes, acknowledges, and ends well
    third = ask(N_STEPS - 1)
    with caught(database, workers):
        worker.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(0.5)
        assert n_forecasts(third) == 0
    assert worker.wait(30) == 0, workers.said(worker)
    assert workers.done(worker, third) == 1
    assert n_forecasts(third) == 1
    assert client.hlen("unacked") == 1, "of the first death only"
    client.close()
