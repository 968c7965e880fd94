"""`harmony advise` and `harmony showback` on a real database, from the command to its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.clock import FixedClock
from services.kernel.settings import get_settings
from services.platform import costs
from tests.integration.advisory.watched import add_decided, add_ran, add_watched
from tests.integration.decision.stored_rows import NOW

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def known(database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service at four replicas of which Harmony wanted three, two hours long."""
    monkeypatch.setenv("HARMONY_DATABASE_URL", database_url)
    monkeypatch.setattr(costs, "make_clock", lambda _mode, _url: FixedClock(NOW))
    get_settings.cache_clear()
    workload = add_watched(database, "chat", labels={"team": "chat"})
    add_ran(database, workload, 4, [2] * 24)
    add_decided(database, workload, [3] * 24)
    yield
    get_settings.cache_clear()


def harmony(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_report_is_printed_and_written(tmp_path: Path) -> None:
    page = tmp_path / "week.html"
    shown = harmony("advise", "demo/chat", "--since", "2h", "--html", str(page))
    assert "nobody: fixed at 4" in shown
    assert "Harmony would have cost 25.0% less" in shown
    assert "Harmony would have cost 25.0% less" in page.read_text()
    (one,) = json.loads(harmony("advise", "--since", "2h", "--json", "-"))["services"]
    assert one["comparison"]["today_usd"] == pytest.approx(48.0)
    assert one["comparison"]["harmony_usd"]["value"] == pytest.approx(36.0)


def test_showback_is_what_sql_says(database: Engine) -> None:
    found = json.loads(harmony("showback", "--by", "label=team", "--since", "2h", "--json", "-"))
    with database.connect() as connection:
        cost = connection.execute(text("SELECT sum(cost_usd::numeric) FROM outcomes")).scalar_one()
    assert [(team["team"], team["cost_usd"]) for team in found["teams"]] == [("chat", float(cost))]
    lines = harmony("showback", "--by", "label=team", "--since", "2h", "--csv", "-").splitlines()
    assert lines[1].split(",")[0] == "chat"
