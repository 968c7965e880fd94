"""Samples of a step are sent to the push API, a request for each shard."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import orjson
import pytest

from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.lab.bench.fleet import feed
from services.lab.bench.fleet.feed import Pusher
from services.lab.bench.fleet.repository import Sender

pytestmark = pytest.mark.integration

END_AT = datetime(2026, 1, 12, tzinfo=UTC)
SENDERS = [Sender(n // 2, n, "team", f"service-{n}", ["tokens", "queue"]) for n in range(5)]


def pusher(monkeypatch: pytest.MonkeyPatch, n_refused: int) -> tuple[Pusher, list[dict]]:  # type: ignore[type-arg]
    requests: list[dict] = []  # type: ignore[type-arg]

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(orjson.loads(request.content))
        n_accepted = len(requests[-1]["observations"]) - n_refused
        return httpx.Response(202, json={"accepted": n_accepted, "rejected": ["late"]})

    client = httpx.Client
    monkeypatch.setattr(feed, "load_senders", lambda _: SENDERS)
    monkeypatch.setattr(
        feed.httpx, "Client", lambda **given: client(**given, transport=httpx.MockTransport(answer))
    )
    settings = Settings(step_s=60)
    return Pusher(None, "http://push", settings), requests  # type: ignore[arg-type]


def test_every_indicator_has_one_sample_in_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, requests = pusher(monkeypatch, 0)
    sent = sender.push(END_AT)
    sender.close()
    assert (sender.shards, len(requests), sent.samples) == (3, 3, 10)
    found = [one for request in requests for one in request["observations"]]
    assert {one["samples"][0][0] for one in found} == {END_AT.timestamp() - 30}
    assert len({(one["workload"], one["indicator"]) for one in found}) == 10
    assert sent.bytes > 0


def test_a_refused_sample_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, _ = pusher(monkeypatch, 1)
    with pytest.raises(Unavailable, match="refused samples"):
        sender.push(END_AT)
