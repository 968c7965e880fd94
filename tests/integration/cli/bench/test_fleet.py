"""`harmony bench fleet` runs whole cycles through real workers and says what they cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.settings import get_settings
from services.lab.bench.fleet import history_repository
from services.lab.bench.fleet.records import STAGES
from tests.few_trees import FEW_TREES

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KEYS = {
    "workloads",
    "history_days",
    "workers",
    "cycles",
    "cycle_s",
    "cpu_s_per_1000",
    "peak_rss_gib",
    "rows_per_s",
    "db_growth_mib_per_cycle",
    "wal_mib_per_cycle",
    "freshness_s",
}
N_WORKLOADS, N_CYCLES = 12, 2


def run(*options: str) -> str:
    get_settings.cache_clear()
    result = CliRunner().invoke(app, ["bench", "fleet", *options])
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output


def test_a_small_fleet_is_measured_and_shown_again_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(history_repository.CONFIG, trees=FEW_TREES)
    monkeypatch.setattr(history_repository, "CONFIG", config)
    file, plot = tmp_path / "fleet.json", tmp_path / "fleet.png"
    sizes = ["--workloads", str(N_WORKLOADS), "--cycles", str(N_CYCLES), "--workers", "2"]
    run(*sizes, "--step", "600", "--sweep", str(N_WORKLOADS), "--json", str(file))
    (found,) = orjson.loads(file.read_bytes())["points"]
    assert set(found) >= KEYS
    assert (found["workloads"], found["history_days"], found["workers"]) == (N_WORKLOADS, 1, 2)
    assert tuple(found["cpu_s_per_1000"]) == STAGES
    assert all(found["cpu_s_per_1000"][name] > 0 for name in set(STAGES) - {"ingest", "score"})
    # what the stages took is part of what the processes took, which count in hundredths
    others = found["cpu_s_per_1000_other"]
    parts = sum(found["cpu_s_per_1000"].values()) + sum(others.values())
    assert parts == pytest.approx(found["cpu_s_per_1000_total"])
    assert min(others.values()) >= -0.2 * found["cpu_s_per_1000_total"]
    assert found["observations_per_cycle"] == 8 * N_WORKLOADS
    assert 0 < found["freshness_s"]["p50"] <= found["freshness_s"]["p99"]
    assert found["wal_mib_per_cycle"] > 0
    assert found["tables"]["indicator_steps"]["rows"] > N_WORKLOADS * 86_400 / 600 / 2
    assert found["restarts"] == 0
    again = run("--from", str(file), "--plan", "1000000", "--markdown", "--plot", str(plot))
    assert "| cells |" in again
    assert "| forecast |" in again
    assert plot.stat().st_size > 0
    # a curve goes on where its file ends: nothing is measured again
    run(*sizes, "--step", "600", "--sweep", str(N_WORKLOADS), "--json", str(file))
    assert orjson.loads(file.read_bytes())["points"] == [found]


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "fleet", "--json", str(tmp_path)])
    assert result.exit_code != 0
    assert "is a folder" in str(result.exception)
