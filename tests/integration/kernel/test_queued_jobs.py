"""A job that waits in its queue is not sent again; one that was taken is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from services.kernel import task
from services.kernel.celery_app import DEFERRED, CelerySender, beat_schedule, make_celery
from services.kernel.jobs import (
    DECIDE_SHARD,
    FORECAST_SCORE,
    FORECAST_SHARD,
    FORECAST_SWEEP,
    INGEST_PULL,
    INGEST_RESAMPLE,
    Job,
    shard_job,
)
from services.kernel.queued_jobs import QueuedJobs
from services.kernel.settings import Settings
from services.kernel.task import job_task

pytestmark = pytest.mark.integration

AT = datetime(2026, 1, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 5, 0, 1, tzinfo=UTC)


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def app(settings: Settings, client: redis.Redis) -> Celery:
    return make_celery(settings)


def n_waiting(client: redis.Redis, queue: str = "forecast") -> int:
    return client.llen(queue) + client.llen(f"{queue}\x06\x169")


def test_a_job_waits_once_for_each_shard_and_origin(app: Celery, client: redis.Redis) -> None:
    sender = CelerySender(app)
    for _ in range(3):
        for shard, at in ((0, AT), (0, LATER), (1, AT)):
            sender.send(shard_job(FORECAST_SHARD, shard, at))
    assert n_waiting(client) == 3
    sender.send(shard_job(DECIDE_SHARD, 0, AT))
    assert n_waiting(client, "decide") == 1


def test_what_is_due_by_now_is_asked_for_once_for_each_shard(
    app: Celery, client: redis.Redis
) -> None:
    sender = CelerySender(app)
    for name in (INGEST_RESAMPLE, INGEST_PULL):
        for shard, at in ((0, AT), (0, LATER), (1, LATER)):
            sender.send(shard_job(name, shard, at))
    assert n_waiting(client, "ingest") == 4


def test_those_that_wait_for_their_turn_are_one_of_each_shard_behind_all_others(
    app: Celery, client: redis.Redis
) -> None:
    sender = CelerySender(app)
    for at in (AT, LATER):
        sender.send(shard_job(FORECAST_SHARD, 0, at, is_rest=True))
    sender.send(shard_job(FORECAST_SHARD, 0, AT))
    assert client.llen("forecast") == 1
    assert client.llen("forecast\x06\x169") == 1


def test_a_job_that_a_worker_took_may_be_sent_again(app: Celery, client: redis.Redis) -> None:
    ran = []

    @job_task("test.shard")
    def run(shard: int, at: str) -> None:
        ran.append(shard)

    sender, job = CelerySender(app), shard_job("test.shard", 4, AT)
    app.tasks.register(run._get_current_object())
    sender.send(job)
    assert not QueuedJobs(app).add(job.name, job.payload, 60)
    app.tasks["test.shard"].apply(kwargs=dict(job.payload))
    assert ran == [4]
    sender.send(job)
    assert n_waiting(client, "test") == 2


def test_what_a_broker_forgets_is_forgotten_with_it(app: Celery, client: redis.Redis) -> None:
    sender = CelerySender(app)
    sender.send(shard_job(FORECAST_SHARD, 0, AT))
    (key,) = client.keys("harmony:queued:*")
    assert 0 < client.ttl(key) <= app.conf["harmony_expires_s"] == 180
    client.flushall()
    sender.send(shard_job(FORECAST_SHARD, 0, AT))
    assert n_waiting(client) == 1


def test_a_broker_that_fails_is_one_kind_of_error_and_leaves_no_key(
    app: Celery, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise redis.exceptions.ReadOnlyError("a replica")

    sender, job = CelerySender(app), shard_job(FORECAST_SHARD, 0, AT)
    with monkeypatch.context() as patch:
        patch.setattr(app, "send_task", refuse)
        with pytest.raises(OperationalError, match="a replica"):
            sender.send(job)
    assert client.keys("harmony:queued:*") == []
    with monkeypatch.context() as patch:
        patch.setattr(QueuedJobs, "add", refuse)
        with pytest.raises(OperationalError):
            sender.send(job)
    sender.send(job)
    assert n_waiting(client) == 1


def test_a_job_is_done_although_the_broker_is_away_by_now(
    app: Celery, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    @job_task("test.away")
    def run(shard: int, at: str) -> None:
        ran.append(shard)

    def away(*given: object) -> None:
        raise redis.exceptions.ConnectionError("gone")

    app.tasks.register(run._get_current_object())
    monkeypatch.setattr(QueuedJobs, "remove", away)
    app.tasks["test.away"].apply(kwargs=dict(shard_job("test.away", 4, AT).payload))
    assert ran == [4]


def test_jobs_of_no_shard_are_always_sent(app: Celery, client: redis.Redis) -> None:
    for _ in range(2):
        CelerySender(app).send(Job(FORECAST_SWEEP))
    assert n_waiting(client) == 2


def test_scoring_waits_once_and_goes_behind_all_others(
    app: Celery, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # other applications of this process have a task of that name, and must not get this one
    monkeypatch.setattr(task, "shared_task", lambda name: app.task(name=name, shared=False))
    ran = []

    @job_task(FORECAST_SCORE)
    def run() -> None:
        ran.append(FORECAST_SCORE)

    job = Job(FORECAST_SCORE, is_deferred=True)
    for _ in range(2):
        CelerySender(app).send(job)
    assert (client.llen("forecast"), n_waiting(client)) == (0, 1), "behind the others"
    app.tasks[FORECAST_SCORE].apply()
    CelerySender(app).send(job)
    assert n_waiting(client) == 2, "one was taken"
    assert ran == [FORECAST_SCORE]
    options = beat_schedule(Settings())[FORECAST_SCORE]["options"]
    assert dict(options)["priority"] == DEFERRED  # type: ignore[call-overload]


def test_of_a_broker_that_is_no_redis_nothing_is_known() -> None:
    queued = QueuedJobs(Celery("other", broker="memory://"))
    assert queued.add("a", {}, 1)
    assert queued.add("a", {}, 1)
    queued.remove("a", {})
