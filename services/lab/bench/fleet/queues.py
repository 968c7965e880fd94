"""What waits in the broker and what workers have taken from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import redis

QUEUES = ("ingest", "forecast", "decide")
"""Those of a cycle; fits are no part of it."""
_PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
_UNACKED = "unacked"
_KEYS = "harmony:queued:*"
_LOOKS = 3


class QueueLook(NamedTuple):
    """A look at the queues.

    Attributes:
        at_s: Seconds of the replay's clock since the epoch.
        jobs: That waited.
        shard_jobs: Those of shards among them.
    """

    at_s: float
    jobs: int
    shard_jobs: int


class BrokerView:
    """Looks at the lists in which kombu keeps the queues."""

    def __init__(self, url: str) -> None:
        """Look at the broker at `url`."""
        self._client: Any = redis.Redis.from_url(url)
        self._lost: set[bytes] = set()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def waiting(self) -> int:
        """Jobs in the queues, deferred ones included."""
        with self._client.pipeline(transaction=False) as pipe:
            for queue in QUEUES:
                for priority in _PRIORITIES:
                    pipe.llen(queue + priority)
            return int(sum(pipe.execute()))

    def waiting_shards(self) -> int:
        """Jobs of shards in the queues, by their keys (`services.kernel.queued_jobs`).

        The rest of what waits was sent by beat, and is dropped when it is taken too late.
        """
        return sum(1 for _ in self._client.scan_iter(_KEYS, count=1000))

    def taken(self) -> int:
        """Jobs that workers have taken and not finished."""
        return len(set(self._client.hkeys(_UNACKED)) - self._lost)

    def forget_taken(self) -> None:
        """What is taken now has lost its worker: the broker gives it out again in an hour."""
        self._lost |= set(self._client.hkeys(_UNACKED))

    def is_idle(self) -> bool:
        """Nothing waits and nothing is done: a job is in neither for a moment when it is taken."""
        return all(self.taken() == 0 and self.waiting() == 0 for _ in range(_LOOKS))
