"""Questions to the engine's process, with stand-ins for the packages it imports there."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from services.lab.arena import replay_serve as module
from tests.unit.lab.arena.fake_replay import FakeReplay, asked, install, loop_of


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeReplay:
    """An engine already chosen: one pool."""
    monkeypatch.setattr(module, "launch_of", lambda _: {"serve": {}})
    monkeypatch.setattr(module, "about", lambda _: {})
    return install(monkeypatch)


def answers(*questions: dict[str, Any]) -> list[dict[str, Any]]:
    """Answers after the engine was chosen."""
    lines = [json.dumps(question) + "\n" for question in ({"engine": {}}, *questions)]
    heard = io.StringIO()
    module.serve(io.StringIO("".join(lines)), heard)
    return [json.loads(line) for line in heard.getvalue().splitlines()][1:]


def test_answers_come_in_the_order_of_the_requests(fake: FakeReplay) -> None:
    (answer,) = answers({"replay": asked((5.0, 700, 9), (5.0, 600, 1), (7.0, 9000, 9))})
    assert answer["ttft_ms"] == [1400.0, 1200.0, None]
    assert answer["tpot_ms"] == [30.0, None, None]
    assert answer["e2e_ms"] == [900.0, 900.0, None]
    assert [line["input_length"] for line in fake.traces[0]] == [600, 700, 9000]


@pytest.mark.usefixtures("fake")
def test_errors_are_answers_and_the_next_question_is_heard() -> None:
    first, second = answers({"replay": {"workers": 1}}, {"replay": asked((0.0, 10, 2))})
    assert "arrival_ms" in first["error"]
    assert second["ttft_ms"] == [20.0]


@pytest.mark.usefixtures("fake")
def test_a_policy_that_stops_ends_the_loop_and_the_next_question_is_heard() -> None:
    question = {"loop": loop_of((500.0, 600, 1), (700.0, 700, 9))}
    tick, stopped, replayed = answers(question, {"stop": True}, {"replay": asked((0.0, 10, 2))})
    assert tick["tick"]["now_ms"] == 500.0
    assert stopped == {"error": "the policy has stopped"}
    assert replayed["ttft_ms"] == [20.0]


@pytest.mark.usefixtures("fake")
def test_two_pools_have_no_plain_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "launch_of", lambda _: {"prefill": {}, "decode": {}})
    (answer,) = answers({"replay": asked((0.0, 10, 2))})
    assert answer["error"].startswith("a replay needs mode=aggregated")
