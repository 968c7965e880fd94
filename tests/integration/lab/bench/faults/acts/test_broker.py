"""Faults of the broker, on one of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.lab.bench.faults.acts import broker
from services.platform.embedded_valkey import embedded_valkey

pytestmark = pytest.mark.integration


class BrokerRig:
    """What the acts use of a rig."""

    def __init__(self, client: redis.Redis) -> None:
        self.broker = client


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Any]:
    with embedded_valkey(tmp_path) as url:
        client = redis.Redis.from_url(url)
        yield BrokerRig(client)
        client.close()


@pytest.mark.parametrize("kind", [broker.FullBroker, broker.ReadOnlyBroker])
def test_a_broker_refuses_writes_and_takes_them_again(rig: Any, kind: type) -> None:
    act = kind()
    assert not act.has_bitten(rig)
    assert act.begin(rig)
    with pytest.raises(redis.ResponseError):
        rig.broker.set("job", 1)
    assert act.has_bitten(rig)
    assert act.end(rig)
    assert rig.broker.set("job", 1)


def test_garbage_has_bitten_once_it_was_taken(rig: Any) -> None:
    act = broker.GarbageMessages()
    assert act.begin(rig)
    assert not act.has_bitten(rig)
    assert rig.broker.rpop("forecast") in broker.GARBAGE
    rig.broker.flushall()
    assert act.has_bitten(rig)
