"""Everything that repeats by the clock reads as much on day 8 as on day 1.

The jobs are those of the beat schedule, run by their own tasks, and every job that they send: a new
one is run here without anybody's doing, and so is a new statement of an old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import redis
from celery import Celery
from prometheus_client import generate_latest
from sqlalchemy import Engine, text

from services.decision import tasks as decision_tasks
from services.forecasting import deps as forecasting_deps
from services.ingest import tasks as ingest_tasks
from services.kernel import celery_app, telemetry
from services.kernel.celery_app import CelerySender, beat_schedule, make_celery
from services.kernel.clock import ReplayClock
from services.kernel.db.session import unit_of_work
from services.kernel.jobs import QUEUES, Job
from services.kernel.settings import Settings, get_settings
from services.lab.bench.api.repository import StoredHistory, store_history
from services.lab.bench.fleet.repository import begin, observe
from services.lab.bench.fleet.run import END_AT
from services.worker.tasks import task_modules
from tests.integration.statement_costs import grown, statement_costs

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEP_S = 300
N_WORKLOADS = 40
FACTOR, SLACK, FACTOR_OF_ALL = 3.0, 150, 1.5
"""Of one statement: the planner finds other ways to a few rows among many, and trees are higher.
What goes through eight days reads eight times as much."""
CACHES = (
    get_settings,
    celery_app.get_celery,
    ingest_tasks.worker_deps,
    decision_tasks.worker_deps,
    forecasting_deps.get_forecasting,
)


class PeriodicWork:
    """The jobs of beat, and those that they send, one after the other in this process."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.schedule = beat_schedule(settings)
        self.app: Celery = make_celery(settings, task_modules(",".join(QUEUES)))
        self.app.loader.import_default_modules()
        self.sent: list[Job] = []
        self.done: set[str] = set()
        monkeypatch.setattr(CelerySender, "send", lambda _, job: self.sent.append(job))

    def run(self) -> None:
        for entry in self.schedule.values():
            self._run(str(entry["task"]), dict(entry.get("kwargs", {})))  # type: ignore[call-overload]
            while self.sent:
                job = self.sent.pop(0)
                self._run(job.name, dict(job.payload))

    def _run(self, name: str, payload: dict[str, object]) -> None:
        self.done.add(name)
        self.app.tasks[name](**payload)


@pytest.fixture
def work(
    database: Engine, settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PeriodicWork]:
    """Tasks of processes whose settings name the test's servers."""
    monkeypatch.setenv("HARMONY_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("HARMONY_REDIS_URL", redis_url)
    monkeypatch.setenv("HARMONY_STEP_S", str(STEP_S))
    monkeypatch.setenv("HARMONY_CLOCK", "replay")
    for cache in CACHES:
        cache.cache_clear()
    yield PeriodicWork(get_settings(), monkeypatch)
    for cache in CACHES:
        cache.cache_clear()


def costs(
    database: Engine, work: PeriodicWork, redis_url: str, n_days: int
) -> tuple[dict[str, int], datetime]:
    """Blocks read by what is done in one step, once a first one has made what is made once."""
    store_history(database, StoredHistory(N_WORKLOADS, n_days, STEP_S, END_AT), lambda _: None)
    with unit_of_work(database) as unit:
        begin(unit.connection, END_AT, 40 * N_WORKLOADS)
        for statement in (
            "INSERT INTO models (version, kind, status, config, metrics, created_at) "
            "VALUES ('m', 'flow', 'retired', '{}', '{}', :at)",
            "INSERT INTO posteriors (kind, scope, status, n_observations, summary, diagnostics, "
            "fitted_at) VALUES ('lead_time', 'gpu_type:H100', 'rejected', 0, '{}', '{}', :at)",
        ):
            unit.connection.execute(text(statement), {"at": END_AT})
    clock, now = ReplayClock(redis.Redis.from_url(redis_url)), END_AT
    for _ in range(2):  # the second one is counted
        now += timedelta(seconds=STEP_S)
        clock.set(now)
        with unit_of_work(database) as unit:
            observe(unit.connection, now, timedelta(seconds=STEP_S))
        with statement_costs() as found:
            work.run()
    return found, now


def empty(database: Engine) -> None:
    with database.begin() as connection:
        tables = "SELECT string_agg(quote_ident(tablename), ',') FROM pg_tables WHERE schemaname = "
        names = connection.execute(
            text(f"{tables}current_schema() AND tablename !~ 'alembic|clusters'")
        )
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {names.scalar_one()} RESTART IDENTITY CASCADE"))


def test_no_periodic_statement_reads_more_over_a_longer_history(
    database: Engine, work: PeriodicWork, redis_url: str
) -> None:
    day, _ = costs(database, work, redis_url, 1)
    empty(database)
    week, now = costs(database, work, redis_url, 8)
    assert {str(entry["task"]) for entry in work.schedule.values()} <= work.done
    assert {"ingest.resample_shard", "forecast.forecast_shard", "decide.decide_shard"} <= work.done
    with database.connect() as connection:
        step_at = now - timedelta(seconds=STEP_S)
        for table in ("forecasts", "decisions", "forecast_scores"):
            query = text(f"SELECT count(*) FROM {table} WHERE origin_at >= :at")
            at = step_at - timedelta(seconds=(13 if table == "forecast_scores" else 0) * STEP_S)
            assert connection.execute(query, {"at": at}).scalar_one() >= N_WORKLOADS, table
        names = connection.execute(text("SELECT name FROM workloads")).scalars().all()
    told = generate_latest(telemetry.REGISTRY).decode()
    assert not [name for name in names if f'"{name}"' in told], "a series of a single workload"
    print(f"\n{len(week)} statements, {sum(day.values())} blocks -> {sum(week.values())}")
    assert len(week) > 40
    found = grown(day, week, FACTOR, SLACK)
    assert not found, "\n".join(found)
    assert sum(week.values()) <= FACTOR_OF_ALL * sum(day.values())
