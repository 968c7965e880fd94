"""The role that Grafana reads with, as compose makes it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[3]


def make_reader() -> Any:
    path = REPO / "deploy/docker/make_reader.py"
    spec = importlib.util.spec_from_file_location("make_reader", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_reads_what_dashboards_show_and_nothing_else(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = tmp_path / "reader-password"
    password.write_text("it's drawn\n")
    monkeypatch.setenv("HARMONY_DATABASE_URL", database_url)
    make, statements = make_reader(), REPO / "deploy/grafana/reader.sql"
    for _ in range(2):  # a second start changes nothing
        assert make.main(statements, password) == 0
    with psycopg.connect(database_url, user="harmony_reader", password="it's drawn") as reader:
        assert reader.execute("SELECT count(*) FROM workloads").fetchone() == (0,)
        assert reader.execute("SHOW transaction_read_only").fetchone() == ("on",)
        assert reader.execute("SHOW statement_timeout").fetchone() == ("30s",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT * FROM api_keys")
