"""Which jobs of shards, and of scoring, wait in their queues, kept beside the queues themselves.

The broker does not say what waits in it. So who sends a job leaves a key there, and who takes it
removes the key: another one like it is not sent meanwhile. A key goes with its job's time limit, so
a job that was lost with its broker or its sender is sent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

import redis
from celery import Celery

from services.kernel.jobs import FORECAST_SCORE, INGEST_PULL, INGEST_RESAMPLE

_PREFIX = "harmony:queued:"
_OF_NOW = (INGEST_PULL, INGEST_RESAMPLE)
"""Jobs that look at the clock when they run: a second one has nothing left to do."""


def waits_once(name: str, payload: Mapping[str, object]) -> bool:
    """Whether a job is not sent while one like it waits: those of shards, and scoring."""
    return ("shard" in payload and "at" in payload) or name == FORECAST_SCORE


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


class QueuedJobs:
    """Keys of the jobs that wait; of a broker that is no Redis none is known."""

    def __init__(self, app: Celery) -> None:
        url = str(app.conf.broker_url or "")
        self._client = _client(url) if url.startswith(("redis", "unix")) else None

    def add(self, name: str, payload: Mapping[str, object], expires_s: int) -> bool:
        """Note a job that is about to be sent; false: it waits already."""
        if self._client is None:
            return True
        key = _key(name, payload)
        return bool(self._client.set(key, 1, nx=True, ex=expires_s))

    def remove(self, name: str, payload: Mapping[str, object]) -> None:
        """Note that a worker has taken a job."""
        if self._client is not None:
            self._client.delete(_key(name, payload))


def _key(name: str, payload: Mapping[str, object]) -> str:
    """One for each shard and origin; one for each shard of what does all that is due by then."""
    if payload.get("is_rest") or name in _OF_NOW:
        payload = {key: value for key, value in payload.items() if key != "at"}
    return f"{_PREFIX}{name}:{json.dumps(payload, sort_keys=True)}"
