"""The caller of the API notes every answer that is neither a success nor a proper 503."""

from __future__ import annotations

import time

import pytest

from services.lab.bench.faults.outside import caller
from services.lab.bench.faults.outside.caller import ApiCaller
from tests.unit.lab.bench.faults.outside.answering_server import AnsweringServer

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "_PAUSE_S", 0.01)


def called(server: AnsweringServer, n_times: int) -> ApiCaller:
    with ApiCaller(server.url, "key") as found:
        deadline = time.monotonic() + PATIENCE_S
        while found.answers.total() < n_times:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # another thread's work cannot be awaited otherwise
    return found


def test_successes_and_proper_refusals_are_right() -> None:
    with AnsweringServer((200, {}, {}), (503, {"Retry-After": "1"}, {}), (201, {}, {})) as server:
        assert called(server, 12).wrong == []
    keys = [body for body in server.bodies if body is not None]
    assert keys[0] == {"name": "bench-10", "role": "viewer"}


@pytest.mark.parametrize("code", [500, 503, 401, 404])
def test_other_answers_are_wrong(code: int) -> None:
    with AnsweringServer((code, {}, {"detail": "no"}), (200, {}, {})) as server:
        (wrong,) = called(server, 3).wrong
    assert wrong.startswith(f"/v1/workloads: {code}")
