"""`harmony headroom`: what is to be held ready, as a table and as JSON."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.settings import get_settings

pytestmark = pytest.mark.integration


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(app, ["headroom", *arguments], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_headroom(database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_DATABASE_URL", database_url)
    get_settings.cache_clear()
    assert "nothing yet" in run()
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO gpu_headroom VALUES (1, 'H100', 0.01, 9, 16, 8, 4, 0.213, 0.007, 40, "
                "false, 2, 1, 0.1, 0.5, 0, now(), now())"
            )
        )
    (row,) = json.loads(run("--json"))
    assert (row["gpu_type"], row["gpus"], row["usd_per_hour"]) == ("H100", 16, 40.0)
    assert (row["risk_before"], row["risk_after"]) == (0.213, 0.007)
    assert "H100" in run()
    get_settings.cache_clear()
