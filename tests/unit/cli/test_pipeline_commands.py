"""`harmony explain` as the plugin prints it, and lists of some workloads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli import pipeline_commands
from services.cli.application import app
from services.platform import stages
from services.platform.stages import ExplainedDecision
from tests.unit.cli.kubectl.views import decision, workload

AT = datetime(2026, 1, 6, tzinfo=UTC)
NOW = decision().decided_at + timedelta(minutes=3)
"""Time of the data, as of a demo that replays another year."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What decisions were asked for; an explained one and two rows stand in for the database."""
    found: list[str] = []

    def explained(_settings: Any, what: str) -> ExplainedDecision:
        found.append(what)
        return ExplainedDecision(decision(), workload(), NOW)

    rows = [{"workload": "a/x", "desired": 3}, {"workload": "b/y", "desired": 4}]
    monkeypatch.setattr(pipeline_commands, "connected_settings", lambda: None)
    monkeypatch.setattr(stages, "explain_decision", explained)
    monkeypatch.setattr(stages, "origins_of", lambda _settings, at, _now: {60: at or AT})
    monkeypatch.setattr(stages, "decide_now", lambda _settings, _at: rows)
    monkeypatch.setattr(stages, "forecast_now", lambda _settings, _at: rows)
    return found


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("what", ["4711", "serving/llama"])
def test_a_decision_is_explained_as_the_plugin_does(asked: list[str], what: str) -> None:
    shown = invoke("explain", what)
    assert asked == [what]
    assert "serving/llama: 8 → 10 replicas, +8 GPUs, +$20.00 per hour" in shown
    assert "1 other guard changed nothing" in shown
    assert "Estimated if kept at 8: 8.3 %" in shown
    assert "(3 min ago)" in shown


@pytest.mark.usefixtures("asked")
def test_json_is_the_decision_as_rest_gives_it() -> None:
    assert json.loads(invoke("explain", "4711", "--json")) == decision().model_dump(mode="json")


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("command", ["forecast", "decide"])
@pytest.mark.parametrize("wanted", [("a/x",), ("x",), ("-n", "a")])
def test_a_list_is_of_the_workloads_asked_for(command: str, wanted: tuple[str, ...]) -> None:
    assert [row["workload"] for row in json.loads(invoke(command, *wanted, "--json"))] == ["a/x"]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("command", ["forecast", "decide"])
@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2020", "is the number 2020, must be RFC 3339"),
        ("20261201", "is the number 20261201"),
        ("9999-12-31", "must lie in the years 1970 to 2199"),
        ("0001-01-01", "must lie in the years 1970 to 2199"),
        ("yesterday", "Invalid isoformat string"),
    ],
)
def test_a_time_that_is_none_is_one_line_and_exit_2(command: str, at: str, words: str) -> None:
    result = CliRunner().invoke(app, [command, "--at", at])
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("at", ["2026-01-05T12:30", "2026-01-05 13:30+01:00"])
def test_a_time_is_utc_where_it_has_no_offset(at: str) -> None:
    assert "2026-01-05 12:30 UTC" in " ".join(invoke("forecast", "--at", at).split())


@pytest.mark.usefixtures("asked")
def test_each_origin_is_named_where_steps_differ_in_length(monkeypatch: pytest.MonkeyPatch) -> None:
    several = {15: AT + timedelta(seconds=15), 30: AT, 60: AT}
    monkeypatch.setattr(stages, "origins_of", lambda *_: several)
    title = "Decisions at 2026-01-06 00:00 UTC, 2026-01-06 00:00:15 UTC"
    assert title in " ".join(invoke("decide").split())
