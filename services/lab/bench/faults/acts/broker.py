"""Faults of the broker: no memory, no writes, and messages that are garbage."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import redis

from services.kernel.jobs import FORECAST_SHARD, QUEUES
from services.lab.bench.faults.acts.plain_act import PlainAct
from services.lab.bench.faults.rig import FaultRig

_NOWHERE = ("127.0.0.1", "1")
_PROBE = "bench:probe"
_PROPERTIES = {
    "correlation_id": "1",
    "delivery_mode": 2,
    "delivery_info": {"exchange": "", "routing_key": "ingest"},
    "priority": 0,
    "body_encoding": "base64",
    "delivery_tag": "1",
}


def _message(body: bytes, task: object) -> bytes:
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"task": task, "id": "bench", "lang": "py"},
            "properties": _PROPERTIES,
        }
    ).encode()


GARBAGE: tuple[bytes, ...] = (
    b"\x00\xffno message",
    b"{}",
    b"[1, 2, 3]",
    b'"text"',
    _message(b"no JSON", FORECAST_SHARD),
    _message(b"[[], {}, {}]", "nobody.knows.it"),
    _message(b'[[], {"shard": "x"}, {}]', FORECAST_SHARD),
    b"[" * 100_000,
    _message(b"5", FORECAST_SHARD),
    _message(b"[5, 6, 7]", FORECAST_SHARD),
    _message(b"[[], {}, {}]", ["a", "list"]),
)
"""What a stranger may push: no JSON, JSON of another shape, a body that is none, an unknown task,
a task with arguments that it does not have, JSON that is nested too deeply, arguments that are
none, a task that is no name."""


class FullBroker(PlainAct):
    """The broker has reached the memory that it may use: it takes nothing more."""

    def __init__(self) -> None:
        self._has_refused = False

    def begin(self, rig: FaultRig) -> bool:
        """Let it be full."""
        rig.broker.config_set("maxmemory", "1")
        return self.go_on(rig)

    def go_on(self, rig: FaultRig) -> bool:
        """See that it refuses."""
        self._has_refused |= _refuses(rig.broker)
        return True

    def end(self, rig: FaultRig) -> bool:
        """Let it have memory."""
        rig.broker.config_set("maxmemory", "0")
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """It refused a write."""
        return self._has_refused


class ReadOnlyBroker(PlainAct):
    """The broker follows another that is not there, so that it can be read only."""

    def __init__(self) -> None:
        self._has_refused = False

    def begin(self, rig: FaultRig) -> bool:
        """Let it follow."""
        rig.broker.replicaof(*_NOWHERE)
        return self.go_on(rig)

    def go_on(self, rig: FaultRig) -> bool:
        """See that it refuses."""
        self._has_refused |= _refuses(rig.broker)
        return True

    def end(self, rig: FaultRig) -> bool:
        """Let it follow nobody."""
        rig.broker.replicaof("NO", "ONE")
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """It refused a write."""
        return self._has_refused


class GarbageMessages(PlainAct):
    """Messages that are none lie in every queue."""

    def __init__(self) -> None:
        self._n_given = 0

    def begin(self, rig: FaultRig) -> bool:
        """Put them where the next one is taken from."""
        for queue in QUEUES:
            rig.broker.rpush(queue, *GARBAGE)
        self._n_given = len(GARBAGE) * len(QUEUES)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """They have been taken."""
        left = sum(rig.broker.lrange(queue, 0, -1).count(GARBAGE[0]) for queue in QUEUES)
        return self._n_given > 0 and left == 0


def _refuses(broker: redis.Redis) -> bool:
    """Check whether a write fails."""
    with suppress(redis.ConnectionError, redis.TimeoutError):
        try:
            broker.set(_PROBE, 1, ex=1)
        except redis.ResponseError:
            return True
    return False
