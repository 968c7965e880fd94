"""`harmony bench cold`: its options reach the measurement, and its table is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from forecaster import model_to_bytes
from services.cli.application import app
from services.forecasting.registry.shipped import shipped_prior
from services.kernel.errors import InvalidInput
from services.lab.bench.forecast import cold, task
from services.lab.bench.forecast.cold import ColdOptions

ROW = {
    "shown": None,
    "prior": 0.5,
    "simple": 1.0,
    "best_simple_in_hindsight": 0.75,
    "model_unknown": 0.25,
    "prior_over_simple": 0.5,
    "workloads_worse": 1,
    "prior_over_warm": 2.0,
}
DOCUMENT = {
    "data": "made",
    "workloads": 3,
    "windows": 34,
    "prior": "abc",
    "warm": 0.25,
    "rows": [ROW],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ColdOptions]:
    """What was measured, in place of a measurement."""
    found: list[ColdOptions] = []

    def measure(_one: Any, options: ColdOptions, _tell: Any) -> Any:
        found.append(options)
        return DOCUMENT

    def load(_path: Path, _protocol: Any, *, demand: str | None, max_origins: int) -> str:
        assert (demand, max_origins) == (None, 50)
        return "a task"

    monkeypatch.setattr(task, "load_task", load)
    monkeypatch.setattr(cold, "bench_cold", measure)
    return found


def invoke(*arguments: str) -> str:
    command = ["bench", "cold", "--data", "made.parquet", "--max-origins", "50", *arguments]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_shipped_prior_is_measured_and_shown(asked: list[ColdOptions], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    shown = invoke("--json", str(out))
    assert "made: 3 workloads, 34 windows" in shown
    assert "2.000" in shown
    assert asked == [ColdOptions(shipped_prior(), is_fitted=True, seed=7)]
    assert json.loads(out.read_text()) == DOCUMENT


def test_another_prior_may_be_measured(asked: list[ColdOptions], tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    file.write_bytes(model_to_bytes(shipped_prior()))
    invoke("--prior", str(file), "--no-fit", "--seed", "9")
    (options,) = asked
    assert (options.is_fitted, options.seed) == (False, 9)
    assert options.prior.version == shipped_prior().version


@pytest.mark.parametrize("content", [None, b"", b"{}", b"no prior at all"])
def test_what_is_no_prior_is_told_in_a_line(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "prior"
    if content is not None:
        file.write_bytes(content)
    arguments = ["bench", "cold", "--data", "x.parquet", "--prior", str(file)]
    with pytest.raises(InvalidInput, match=r"^--prior=.*: no prior of `models pretrain`"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
