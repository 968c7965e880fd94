"""`harmony bench joint`: its options reach the measurement, and its table is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from services.cli.application import app
from services.lab.bench.forecast import joint, task
from services.lab.bench.forecast.joint import JointOptions
from services.lab.bench.forecast.task import BenchTask, Protocol
from tests.unit.lab.bench.forecast.test_joint import make_task

FIGURES = {"log_density": 1.0, "sum_crps": 2.0, "largest_crps": 4.0}
DOCUMENT = {
    "data": "made",
    "indicators": ["l1_load", "l3_busy"],
    "horizon": 12,
    "test_windows": 34,
    "dependences": {
        "independent": FIGURES,
        "flow": {"log_density": 3.5, "sum_crps": 1.0, "largest_crps": 1.0},
    },
}
Asked = list[tuple[BenchTask, JointOptions]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What was measured, in place of a measurement."""
    found: Asked = []

    def load(_path: Path, protocol: Protocol, *, demand: str | None) -> BenchTask:
        assert (protocol, demand) == (Protocol.FISHER_H12, "l1_load")
        return make_task()

    def measure(one: BenchTask, options: JointOptions, tell: Callable[[str], None]) -> Any:
        tell("training")
        found.append((one, options))
        return DOCUMENT

    monkeypatch.setattr(task, "load_task", load)
    monkeypatch.setattr(joint, "bench_joint", measure)
    return found


def invoke(*arguments: str) -> str:
    command = ["bench", "joint", "--data", "made.parquet", "--demand", "l1_load", *arguments]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_gains_are_shown_over_independence(asked: Asked) -> None:
    shown = invoke()
    assert "made: 2 indicators, 12 steps, 34 windows" in shown
    assert "+2.50" in shown
    assert "0.500" in shown
    ((one, options),) = asked
    assert options == JointOptions((), 7)
    assert one.data == "made"


def test_options_reach_the_measurement_in_one_thread(asked: Asked, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        out = tmp_path / "out.json"
        invoke("--indicators", " l1_load, l3_busy,", "--seed", "9", "--json", str(out))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert asked[0][1] == JointOptions(("l1_load", "l3_busy"), 9)
    assert json.loads(out.read_text()) == DOCUMENT


def test_development_reads_no_test_part(asked: Asked) -> None:
    invoke("--development")
    whole = make_task()
    assert [s.n_steps for s in asked[0][0].series] == list(whole.validation_ends)
