"""A session of the plugin: clients when they are needed, one line for each failure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.cli.kubectl.session import Session, each, only_one, session
from services.kernel.clock import FixedClock, SystemClock
from services.kernel.errors import ConfigurationError, InvalidInput, NotFound


def test_one_failure_is_a_line_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def work(name: str) -> str:
        if name == "gone":
            raise NotFound("gone is\n not there")
        return name.upper()

    assert each(["a", "gone", "b", "a"], work) == (["A", "B"], False)
    assert capsys.readouterr().err == "kubectl harmony: gone is not there\n"
    assert each(["a"], work) == (["A"], True)


def test_an_option_of_one_object_goes_with_one_name() -> None:
    only_one(["a", "a"], "--decision")
    with pytest.raises(InvalidInput, match=r"--decision goes with one NAME, not with 2"):
        only_one(["a", "b"], "--decision")


def test_clients_are_made_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARMONY_URL", raising=False)
    asked = Session(None, None, "serving", None, SystemClock())
    assert asked.namespace == "serving"
    asked.close()  # nothing was opened
    with pytest.raises(ConfigurationError, match="no Harmony server"):
        _ = asked.api


def test_what_was_opened_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_KEY", "hk_a_b")
    context = type("Context", (), {"obj": None})()
    with session(context, "serving", server="http://localhost:1") as asked:
        client = asked.api._client
        assert not client.is_closed
    assert client.is_closed


def test_a_server_that_replays_another_time_says_what_now_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARMONY_KEY", "hk_a_b")
    wall = FixedClock(datetime(2027, 1, 1, tzinfo=UTC))
    asked = Session("http://localhost:1", None, "serving", None, wall)
    assert asked.now() == wall.now(), "nothing was asked yet"
    replayed_at = datetime(2026, 1, 6, 12, tzinfo=UTC)
    asked.api.replayed_at = replayed_at
    assert asked.now() == replayed_at
    asked.api.replayed_at = None
    assert asked.now() == wall.now()
    asked.close()
