"""`harmony cells`: clusters are added, renamed, listed, and given totals; the audit log says so."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from services.cli.application import app

pytestmark = pytest.mark.integration


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(app, ["cells", *arguments], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_clusters_and_totals(
    database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.kernel.settings import get_settings

    monkeypatch.setenv("HARMONY_DATABASE_URL", database_url)
    get_settings.cache_clear()
    assert "HARMONY_CLUSTER=eu" in run("add", "eu")
    run("rename", "default", "us")
    names = [each["name"] for each in json.loads(run("list", "--json"))]
    assert names == ["us", "eu"]
    run("total", "H100", "64")
    with database.connect() as connection:
        totals = connection.execute(text("SELECT gpu_type, gpus FROM cell_totals")).all()
        actions = connection.execute(text("SELECT action FROM audit ORDER BY id")).scalars().all()
    assert totals == [("H100", 64)]
    assert actions == ["cluster.add", "cluster.rename", "cluster.total"]
    assert "no total" in run("total", "H100")
    get_settings.cache_clear()
