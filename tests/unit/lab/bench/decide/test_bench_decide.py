"""The whole benchmark on a small trace, from the command to its documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import main
from services.cli.application import app
from services.kernel.errors import InvalidInput
from services.lab.bench.decide import forecasts
from services.lab.bench.forecast.own_arms import ModelArm
from services.simulator.policies.rivals import forecast_policies, rivals
from tests.unit.lab.bench.forecast.trained import SMALL

ARMS = {"harmony", "harmony_tuned_price", "oracle", "perfect_forecast"}
FIGURES = {
    *("gpu_hours", "cost_usd", "violation_rate", "true_rate", "believed_rate", "measured_rate"),
    *("unserved", "churn_per_day", "oracle_ratio"),
}
SUMMARY = {
    *("vs_best_baseline", "ci", "vs_hpa", "vs_oracle", "worst_vs_best_baseline"),
    *("calibration_gap_pp", "churn_ratio_vs_hpa"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_trace: Callable[..., Path]) -> Path:
    """A trace, and what the command wrote for it."""
    folder = tmp_path_factory.mktemp("decide")
    arguments = ["bench", "decide", "--data", str(write_trace(folder)), "--max-test-steps", "72"]
    written = ["--json", str(folder / "out.json"), "--plot", str(folder / "out.png")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecasts, "ModelArm", partial(ModelArm, SMALL))
        result = CliRunner().invoke(app, [*arguments, *written])
    assert result.exit_code == 0, result.output
    assert "small: matched" in result.output
    assert "As deployed it is off its promise by" in result.output
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> dict:
    found: dict = json.loads((folder / "out.json").read_text())
    return found


@pytest.mark.slow
def test_every_policy_is_run_for_every_workload_and_promise(document: dict) -> None:
    assert {(r["data"], r["workload"], r["epsilon"]) for r in document["runs"]} == {
        ("small", w, e) for w in ("w0", "w1") for e in (0.01, 0.05)
    }
    expected = set(rivals(600.0)) | set(forecast_policies()) | ARMS
    for run in document["runs"]:
        assert set(run["policies"]) == expected
        assert run["policies"]["oracle"]["oracle_ratio"] == 1.0
        for name, figures in run["policies"].items():
            own = {"cost_of_not_knowing"} if name == "harmony" else set()
            assert set(figures) == FIGURES | own
            assert figures["cost_usd"] == pytest.approx(2.5 * figures["gpu_hours"], rel=1e-5)


@pytest.mark.slow
def test_the_summary_has_the_promised_figures(document: dict) -> None:
    assert set(document["summary"]) == {"0.01", "0.05"}
    for whole in document["summary"].values():
        assert set(whole) >= SUMMARY
        low, high = whole["ci"]
        assert 0 < low <= high
        assert whole["vs_best_baseline"] > 0
        assert whole["vs_oracle"] > 0.9


@pytest.mark.slow
def test_frontiers_and_deployed_points_agree_with_the_runs(document: dict) -> None:
    (one,) = document["datasets"]
    assert {name: len(points) for name, points in one["frontier"].items()} == one["n_settings"]
    for key, arms in one["deployed"].items():
        for name, arm in arms.items():
            own = [
                run["policies"][name] for run in document["runs"] if run["epsilon"] == float(key)
            ]
            rate = sum(figures["violation_rate"] for figures in own) / len(own)
            cost = sum(figures["oracle_ratio"] for figures in own) / len(own)
            assert arm["rate"] == pytest.approx(rate, abs=1e-5)
            assert arm["cost_ratio"] == pytest.approx(cost, rel=1e-4)
            if name in one["frontier"]:
                labels = [label for _, _, label in one["frontier"][name]]
                assert name == "harmony" or arm["setting"] in labels


@pytest.mark.slow
def test_documents_are_put_together(folder: Path, document: dict, tmp_path: Path) -> None:
    assert (folder / "out.png").stat().st_size > 10_000
    other = json.loads(json.dumps(document).replace('"small"', '"other"'))
    (tmp_path / "other.json").write_text(json.dumps(other))
    files = [str(folder / "out.json"), str(tmp_path / "other.json")]
    out = tmp_path / "all.json"
    arguments = ["bench", "decide-summary", *files, "--markdown", "--json", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "| mean of 2 | " in result.output
    merged = json.loads(out.read_text())
    assert len(merged["runs"]) == 8
    for key, whole in merged["summary"].items():
        assert whole["n_datasets"] == 2
        before = document["summary"][key]["vs_best_baseline"]
        assert whole["vs_best_baseline"] == pytest.approx(before, rel=1e-5)


@pytest.mark.parametrize(
    ("risk", "words"),
    [
        ("soon", "must be numbers"),
        ("0", "between 0 and 1"),
        ("0.01,1", "between 0 and 1"),
        ("nan", "between 0 and 1"),
        ("0.01,0.010", "each promise once"),
    ],
)
def test_a_wrong_promise_is_refused(risk: str, words: str) -> None:
    result = CliRunner().invoke(app, ["bench", "decide", "--data", "x.parquet", "--risk", risk])
    assert isinstance(result.exception, InvalidInput)
    assert words in str(result.exception)


def test_a_data_set_given_twice_is_refused_before_it_is_run(
    tmp_path: Path, write_trace: Callable[..., Path]
) -> None:
    path = str(write_trace(tmp_path))
    result = CliRunner().invoke(app, ["bench", "decide", "--data", path, "--data", path])
    assert isinstance(result.exception, InvalidInput)
    assert "each data set once" in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ["decide", "--data", "missing.parquet"],
        ["decide-summary", "missing.json"],
    ],
)
def test_a_missing_file_is_one_line_and_exit_status_2(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harmony", "bench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "missing." in lines[0]
