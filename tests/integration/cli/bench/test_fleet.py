"""`harmony bench fleet` runs whole cycles and says what they cost."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.settings import get_settings
from services.lab.bench.fleet.run import STAGES

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_small_fleet_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get_settings.cache_clear()
    document = tmp_path / "fleet.json"
    options = ["--workloads", "4", "--cycles", "2", "--step", "3600", "--json", str(document)]
    result = CliRunner().invoke(app, ["bench", "fleet", *options])
    assert result.exit_code == 0, result.output
    found = orjson.loads(document.read_bytes())
    assert (found["workloads"], found["history_days"], found["cycles"]) == (4, 1, 2)
    assert set(found["cpu_s_per_1000"]) == set(STAGES)
    assert all(value > 0 for value in found["cpu_s_per_1000"].values())
    assert found["wal_mib_per_cycle"] > 0
    assert "forecast" in result.output


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "fleet", "--json", str(tmp_path)])
    assert result.exit_code != 0
    assert "is a folder" in str(result.exception)
