"""Streams of events over HTTP."""

from __future__ import annotations

import time

import httpx
import pytest

from services.admin.events import api
from tests.integration.admin.events.event_stream import DEADLINE_S, Stream

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_a_silent_stream_beats_and_ends_in_time(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(api, "LIFE_S", 0.3)
    with client.stream("GET", "/v1/events") as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines[0] == "retry: 3000"
    assert set(lines[1:]) == {": heartbeat"}
    assert len(lines) >= 3


def test_streams_are_bounded_and_their_places_come_back(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.admin.events.service.MAX_STREAMS_PER_CALLER", 1)
    with client.stream("GET", "/v1/events") as response:
        held = Stream(response)  # a stream that nobody holds is closed
        held.block()
        refused = client.get("/v1/events")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["Retry-After"] == "10"
        del held
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with client.stream("GET", "/v1/events") as response:
            if response.status_code == 200:
                break
        assert time.monotonic() < deadline, "the place did not come back"


def test_what_cannot_be_streamed_is_said(client: httpx.Client, address: str) -> None:
    assert httpx.get(f"{address}/v1/events").status_code == 401
    cases = [
        ({"kind": "forecast"}, {}, 422),
        ({}, {"Last-Event-ID": "tomorrow"}, 422),
        ({}, {"Last-Event-ID": f"{2**70}-1-0"}, 422),
        ({"workload": "vision/detector-edge"}, {}, 403),
    ]
    for query, headers, status in cases:
        answer = client.get("/v1/events", params=query, headers=headers)
        assert answer.status_code == status, (query, headers, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
