"""Messages that are none end no worker: they are dropped, and what comes after is handled."""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Consumer, Queue
from kombu.exceptions import OperationalError

from services.kernel.broker_transport import message_fault
from services.kernel.celery_app import CelerySender, make_celery
from services.kernel.jobs import DECIDE_SHARD, FORECAST_SHARD, INGEST_RESAMPLE, INGEST_SWEEP, Job
from services.kernel.settings import Settings
from services.lab.bench.faults.acts.broker import GARBAGE

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def app(settings: Settings, client: redis.Redis) -> Celery:
    return make_celery(settings)


def test_what_is_no_message_is_dropped_and_the_next_one_is_read(
    app: Celery, client: redis.Redis
) -> None:
    CelerySender(app).send(Job(FORECAST_SHARD))
    client.rpush("forecast", *GARBAGE)  # they are read first
    read: list[str] = []

    def note(body: Any, message: Any) -> None:
        read.append(message.headers["task"])
        message.ack()

    def undecodable(message: Any, error: Exception) -> None:
        message.ack()

    with (
        app.connection_for_read() as connection,
        Consumer(
            connection,
            [Queue("forecast")],
            callbacks=[note],
            on_decode_error=undecodable,
            accept=["json"],
        ),
    ):
        while FORECAST_SHARD not in read[2:]:
            connection.drain_events(timeout=10)
    assert read == [FORECAST_SHARD, "nobody.knows.it", FORECAST_SHARD]
    assert client.llen("forecast") == 0


def test_a_message_of_celerys_has_no_fault(app: Celery, client: redis.Redis) -> None:
    CelerySender(app).send(Job(FORECAST_SHARD))
    (found,) = client.lrange("forecast", 0, -1)
    message = json.loads(found)
    assert message_fault(message) == ""
    for name in ("properties", "headers", "body"):
        assert message_fault({**message, name: None})
    for name in ("delivery_tag", "delivery_info"):
        assert message_fault({**message, "properties": {**message["properties"], name: None}})
    assert message_fault({**message, "body": "no base64!"})
    nothing = ("5", "[]", "[[], {}, null, 1]", "[[], [], {}]", "[1, {}, {}]", "[[], {}, 7]")
    left = ("[[1], {}, null]", "no JSON", "[" * 100_000)
    for text in (*nothing, *left):
        fault = message_fault({**message, "body": base64.b64encode(text.encode()).decode()})
        assert (fault == "") == (text in left), text


@pytest.mark.parametrize(
    ("part", "name"),
    [
        *(("headers", name) for name in ("task", "id", "timelimit", "stamped_headers")),
        *(("properties", name) for name in ("delivery_tag", "body_encoding")),
        *(("", name) for name in ("content-type", "content-encoding")),
    ],
)
@pytest.mark.parametrize("odd", [["a list"], {"an": "object"}, 5])
def test_a_field_of_another_type_ends_no_worker(
    app: Celery, client: redis.Redis, part: str, name: str, odd: Any
) -> None:
    CelerySender(app).send(Job(FORECAST_SHARD))
    (found,) = client.lrange("forecast", 0, -1)
    message = json.loads(found)
    changed = {**message[part], name: odd} if part else odd
    assert message_fault(message) == ""
    if name == "stamped_headers" and isinstance(odd, list):
        return
    assert message_fault({**message, part or name: changed})


def test_a_worker_finishes_what_was_begun_and_takes_deferred_jobs_last(app: Celery) -> None:
    names = (INGEST_RESAMPLE, FORECAST_SHARD, DECIDE_SHARD)
    for name in (*names, *names):
        CelerySender(app).send(Job(name))
    CelerySender(app).send(Job(DECIDE_SHARD, is_deferred=True))
    read: list[tuple[str, int]] = []

    def note(body: Any, message: Any) -> None:
        read.append((message.headers["task"], message.properties["priority"]))
        message.ack()

    with app.connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        queues = [Queue(name.partition(".")[0]) for name in names]
        with Consumer(channel, queues, callbacks=[note], accept=["json"]):
            while len(read) < 7:
                connection.drain_events(timeout=10)
    first = [name for name in reversed(names) for _ in range(2)]
    assert read == [*((name, 0) for name in first), (DECIDE_SHARD, 9)]


def test_a_broker_that_is_silent_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose machine is gone: who sends to it does not wait until the system gives up."""
    monkeypatch.setattr("services.kernel.celery_app.ANSWER_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        app = make_celery(settings.model_copy(update={"redis_url": url}))
        with pytest.raises(OperationalError):
            CelerySender(app).send(Job(INGEST_SWEEP))
        app.close()
