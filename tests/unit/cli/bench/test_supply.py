"""`harmony bench supply`: what it refuses, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.application import app, main
from services.lab.bench.supply import run
from services.lab.bench.supply.options import HPA, SupplyOptions
from services.lab.bench.supply.run import SupplyCell
from services.simulator.policies.rivals import HARMONY
from tests.unit.lab.bench.supply.small import setting

SUPPLY = ["bench", "supply", "--quick"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[SupplyOptions]:
    """Options that were run with, in place of a run."""
    found: list[SupplyOptions] = []

    def replay(options: SupplyOptions, tell: object) -> list[SupplyCell]:
        found.append(options)
        own = setting(HARMONY, 0.01, 90.0, promise=0.01, n_held=0, lead_times=(10, 9))
        return [SupplyCell("made", 7, 120.0, (setting(HPA, 0.01, 120.0), own))]

    monkeypatch.setattr(run, "run_supply", replay)
    monkeypatch.delenv("HARMONY_DATA_DIR", raising=False)
    return found


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--startup", "soon", "--startup=soon: must be lengths of time"),
        ("--startup", "2m,2h", "--startup=7200: must be between 10 and 3600"),
        ("--spot", "-1", "--spot=-1: must be between"),
        ("--failures", "1.5", "--failures=1.5: must be between"),
        ("--days", "0", "--days=0: must be between"),
        ("--policies", "hpa,luck", "--policies=luck: must be of"),
        ("--data-dir", "/nowhere", "--data-dir=/nowhere: must be a folder"),
        ("--plot", "/", "--plot=/: is a folder"),
    ],
)
def test_what_nobody_can_run_is_one_line_and_exit_status_two(
    option: str,
    value: str,
    said: str,
    asked: list[SupplyOptions],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["harmony", *SUPPLY, option, value])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"harmony: {said}")
    assert asked == []


def test_options_reach_the_run_and_the_figures_are_written(
    asked: list[SupplyOptions], tmp_path: Path
) -> None:
    given = ["--startup", "2m,5m", "--spot", "3", "--failures", "0.1", "--days", "0.5"]
    files = ["--json", str(tmp_path / "s.json"), "--plot", str(tmp_path / "s.png")]
    result = CliRunner().invoke(
        app,
        [*SUPPLY, *given, "--seeds", "2", "--policies", "hpa,harmony", *files],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    assert asked == [
        SupplyOptions((120.0, 300.0), 3.0, 0.1, 0.5, (7, 8), (HPA, HARMONY), None, is_quick=True)
    ]
    found = json.loads((tmp_path / "s.json").read_text())
    assert list(found) == ["runs", "summary"]
    assert found["summary"]["node_hours_vs_hpa"] == 0.75
    assert found["summary"]["node_hours_vs_best_rival"] == 0.75
    assert (tmp_path / "s.png").stat().st_size > 5_000
    assert "0.750" in result.output


@pytest.mark.usefixtures("asked")
def test_tables_for_a_document() -> None:
    result = CliRunner().invoke(app, [*SUPPLY, "--markdown"], catch_exceptions=False)
    assert "| demand | seed | start-up |" in result.output
    assert "| held_scale_ups | 0 |" in result.output
