"""What waits and what was taken, as the broker has it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import redis

from services.kernel.celery_app import CelerySender, make_celery
from services.kernel.jobs import DECIDE_SHARD, FORECAST_SHARD, INGEST_RESAMPLE, shard_job
from services.kernel.settings import Settings
from services.lab.bench.fleet.queues import BrokerView

pytestmark = pytest.mark.integration

AT = datetime(2026, 1, 5, tzinfo=UTC)


def test_jobs_wait_in_every_queue_deferred_or_not(settings: Settings, redis_url: str) -> None:
    view, sender = BrokerView(redis_url), CelerySender(make_celery(settings))
    assert view.is_idle()
    for name in (INGEST_RESAMPLE, FORECAST_SHARD, DECIDE_SHARD):
        sender.send(shard_job(name, 0, AT))
    sender.send(shard_job(FORECAST_SHARD, 0, AT, is_rest=True))
    make_celery(settings).send_task("forecast.sweep", queue="forecast")
    assert (view.waiting(), view.waiting_shards()) == (5, 4)
    assert not view.is_idle()


def test_what_a_killed_worker_had_taken_holds_nothing_up(redis_url: str) -> None:
    view, client = BrokerView(redis_url), redis.Redis.from_url(redis_url)
    client.hset("unacked", "a", "{}")
    assert (view.taken(), view.is_idle()) == (1, False)
    view.forget_taken()
    assert view.is_idle()
    client.hset("unacked", "b", "{}")
    assert view.taken() == 1
