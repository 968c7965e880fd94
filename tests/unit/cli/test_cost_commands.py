"""`harmony advise` and `harmony showback`: what they print, what they write, what they refuse."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.admin.showback.schemas import Showback, TeamCost
from services.advisory.service import AdvisoryQuery
from services.cli import cost_commands
from services.cli.application import app
from services.kernel.errors import InvalidInput
from services.platform import costs
from tests.unit.advisory.reported import report, service

TO = datetime(2026, 1, 8, 12, tzinfo=UTC)
SHOWBACK = Showback(
    by="label=team",
    from_at=TO - timedelta(days=7),
    to_at=TO,
    teams=[
        TeamCost(team="chat", n_workloads=2, gpu_hours=40.0, cost_usd=1234.5, unmeasured_hours=1),
        TeamCost(team=None, n_workloads=1, gpu_hours=None, cost_usd=None, unmeasured_hours=168),
    ],
    gpu_hours=40.0,
    cost_usd=1234.5,
    unmeasured_hours=169.0,
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked for; a report and sums stand in for the database."""
    found: list[Any] = []

    def advise(_settings: Any, query: AdvisoryQuery) -> Any:
        found.append(query)
        return report(service(), service("prod/quiet", is_known=False))

    def showback(_settings: Any, *query: Any) -> Any:
        found.append(query)
        return SHOWBACK, "team,cost_usd\nchat,1234.5\n"

    monkeypatch.setattr(cost_commands, "connected_settings", lambda: None)
    monkeypatch.setattr(costs, "advise", advise)
    monkeypatch.setattr(costs, "showback", showback)
    return found


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_report_says_both_sides_and_what_is_unknown(asked: list[Any]) -> None:
    shown = invoke("advise")
    assert asked == [AdvisoryQuery(timedelta(days=7))]
    assert "3.00% of requests, measured" in shown
    assert "All together: Harmony would have cost 20.0% less" in shown
    assert "prod/quiet: What Harmony would have cost is not known" in shown
    assert "6.0 h without a decision" in shown
    assert "Left out: prod/ours: Harmony scales it." in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("chat",), AdvisoryQuery(timedelta(days=7), "", "chat")),
        (("prod/chat",), AdvisoryQuery(timedelta(days=7), "prod", "chat")),
        (("-n", "prod", "--since", "36h"), AdvisoryQuery(timedelta(hours=36), "prod", "")),
        (("--since", "2w", "--seed", "3"), AdvisoryQuery(timedelta(weeks=2), seed=3)),
    ],
)
def test_the_report_is_asked_of_what_is_named(
    asked: list[Any], arguments: tuple[str, ...], expected: AdvisoryQuery
) -> None:
    invoke("advise", *arguments)
    assert asked == [expected]


@pytest.mark.usefixtures("asked")
def test_the_report_goes_to_files_and_to_stdout(tmp_path: Path) -> None:
    json_file, page, lines = (tmp_path / name for name in ("a.json", "week.html", "a.csv"))
    invoke("advise", "--json", str(json_file), "--html", str(page), "--csv", str(lines))
    document = json.loads(json_file.read_text())
    assert [one["workload"] for one in document["services"]] == ["prod/chat", "prod/quiet"]
    assert "Harmony would have cost 20.0% less" in page.read_text()
    with lines.open() as opened:
        assert [row["workload"] for row in csv.DictReader(opened)] == ["prod/chat", "prod/quiet"]
    assert json.loads(invoke("advise", "--json", "-")) == document
    assert invoke("advise", "--csv", "-") == lines.read_text()


def test_showback_has_a_row_per_team_and_what_is_unknown(asked: list[Any]) -> None:
    shown = invoke("showback", "--by", "label=team", "--since", "1d", "-n", "prod")
    assert asked == [("label=team", timedelta(days=1), "prod")]
    assert "1,234.50" in shown
    assert "(no label)" in shown
    assert "Together: 1,234.50 USD; 169.0 workload-hours are unknown." in shown


@pytest.mark.usefixtures("asked")
def test_showback_goes_to_files_and_to_stdout(tmp_path: Path) -> None:
    lines = tmp_path / "deep" / "teams.csv"
    invoke("showback", "--csv", str(lines))
    assert lines.read_text() == "team,cost_usd\nchat,1234.5\n"
    assert json.loads(invoke("showback", "--json", "-"))["teams"][1]["cost_usd"] is None
    assert invoke("showback", "--csv", "-") == lines.read_text()


@pytest.mark.parametrize("command", ["advise", "showback"])
@pytest.mark.usefixtures("asked")
def test_what_cannot_be_used_is_named(command: str) -> None:
    for wrong, said in (
        (("--since", "7"), "--since=7: must be hours, days or weeks"),
        (("--since", "99999w"), "--since=99999w: ask for at most 93d"),
        (("--json", "-", "--csv", "-"), "only one of both can go to stdout"),
    ):
        with pytest.raises(InvalidInput, match=said):
            CliRunner().invoke(app, [command, *wrong], catch_exceptions=False)


@pytest.mark.usefixtures("asked")
def test_what_little_a_team_costs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    little = TeamCost(team="a", n_workloads=1, gpu_hours=0.02, cost_usd=0.004, unmeasured_hours=0)
    found = SHOWBACK.model_copy(update={"teams": [little], "cost_usd": 0.004})
    monkeypatch.setattr(costs, "showback", lambda *_: (found, ""))
    printed = CliRunner().invoke(app, ["showback", "--by", "label=team"]).stdout
    assert all(figure in printed for figure in ("0.02 ", "0.004 ", "Together: 0.004 USD"))
