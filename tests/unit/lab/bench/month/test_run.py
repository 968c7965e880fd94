"""The command, from its options to its documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from forecaster.choice.baselines import BestSimple
from forecaster.choice.ladder import Ladder
from forecaster.config import ForecasterConfig
from forecaster.errors import HistoryTooShort
from services.backtest.predictors import Trained
from services.cli import main
from services.cli.application import app
from services.kernel.errors import InvalidInput
from services.lab.bench.decide import forecasts
from services.lab.bench.forecast.own_arms import ModelArm
from services.lab.bench.month import fleet_source, run
from tests.unit.lab.bench.forecast.trained import SMALL

POLICIES = ["harmony", "static_peak", "hpa", "trailing_percentile", "oracle"]


def refuse(word: str) -> None:
    raise AssertionError(f"the document holds {word}")


def simple(*_: Any, **__: Any) -> Trained:
    config = ForecasterConfig()
    return Trained(Ladder(None, BestSimple({}, config.window)), config, "no model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_trace: Callable[..., Path]) -> Path:
    """A trace, and what the command wrote for it and for a small fleet."""
    folder = tmp_path_factory.mktemp("month")
    arguments = ["bench", "month", "--workloads", "1", "--days", "1", "--seed", "3"]
    arguments += ["--data", str(write_trace(folder)), "--max-test-steps", "72"]
    written = ["--json", str(folder / "out.json"), "--plot", str(folder / "out.png")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet_source, "train", simple)
        patch.setattr(forecasts, "ModelArm", partial(ModelArm, SMALL))
        result = CliRunner().invoke(app, [*arguments, *written])
    assert result.exit_code == 0, result.output
    (folder / "out.txt").write_text(result.output)
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out.json").read_text(), parse_constant=refuse)
    return found


@pytest.mark.slow
def test_the_document(document: dict[str, Any]) -> None:
    fleet, trace = document["sources"]
    assert (document["days"], document["promise"], document["seed"]) == (1, 0.01, 3)
    assert (fleet["kind"], fleet["workloads"], fleet["scale"]) == ("generated", 1, 1.0)
    # 72 steps of 600 s are half a day
    assert (trace["kind"], trace["workloads"], trace["scale"]) == ("trace", 2, 2.0)
    for part in (fleet, trace, document["total"]):
        assert list(part["policies"]) == POLICIES
        assert list(part["savings"]) == POLICIES[1:]
    for name in POLICIES:
        both = [part["policies"][name]["gpu_hours"] for part in (fleet, trace)]
        assert document["total"]["policies"][name]["gpu_hours"] == pytest.approx(sum(both), 1e-5)
    assert fleet["assumptions"]["usd_per_gpu_hour"] == {"H100": 2.5}
    assert trace["assumptions"]["max_utilisation"] == 0.85


@pytest.mark.slow
def test_the_tables_and_the_plot(folder: Path) -> None:
    shown = (folder / "out.txt").read_text()
    assert "small: 2 workloads" in shown
    assert "0.5 days measured, scaled to 1" in shown
    assert "total of 1 days: 3 workloads" in shown
    assert "Forecaster of the generated fleet, seed 3: no model." in shown
    assert (folder / "out.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--risk", "0"], "--risk=0.0: must be between 0 and 1 (0.000000001 to 0.999999999)"),
        (["--risk", "1"], "--risk=1.0: must be between 0 and 1 (0.000000001 to 0.999999999)"),
        (["--risk", "nan"], "--risk=nan: must be between 0 and 1 (0.000000001 to 0.999999999)"),
        (["--workloads", "0"], "--workloads=0: nothing to replay"),
        (["--json", "."], "--json=.: is a folder"),
        (["--plot", "."], "--plot=.: is a folder"),
    ],
)
def test_a_wrong_option_is_refused(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["bench", "month", *arguments])
    assert isinstance(result.exception, InvalidInput)
    assert words in str(result.exception)


@pytest.mark.parametrize("arguments", [["--days", "0"], ["--workloads", "-1"], ["--risk", "soon"]])
def test_a_number_out_of_range_is_exit_status_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["bench", "month", *arguments]).exit_code == 2


def test_a_data_set_given_twice_is_refused_before_it_is_run(
    tmp_path: Path, write_trace: Callable[..., Path]
) -> None:
    path = str(write_trace(tmp_path))
    result = CliRunner().invoke(app, ["bench", "month", "--data", path, "--data", path])
    assert isinstance(result.exception, InvalidInput)
    assert "each data set once" in str(result.exception)


def test_a_trace_that_cannot_be_trained_on_is_named(
    tmp_path: Path, write_trace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise HistoryTooShort("too short")

    monkeypatch.setattr(run, "trace_source", fail)
    path = str(write_trace(tmp_path))
    result = CliRunner().invoke(app, ["bench", "month", "--workloads", "0", "--data", path])
    assert isinstance(result.exception, InvalidInput)
    assert "small: the forecaster cannot be trained: too short" in str(result.exception)


def test_a_missing_file_is_one_line_and_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harmony", "bench", "month", "--data", "missing.parquet"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "missing." in lines[0]
