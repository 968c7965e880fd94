"""`harmony backtest`: options reach the study, and its verdict is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from typer.testing import CliRunner

from services.backtest import plot, study
from services.backtest.study import PromiseResult
from services.cli.application import app
from services.cli.study_commands import promises
from services.kernel.errors import InvalidInput
from services.simulator import fleet
from tests.unit.lab.report.pages import score


@dataclass
class Asked:
    """What the study was asked for."""

    file: Path | None = None
    options: Any = None
    promises: list[float] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    plotted: list[Path] = field(default_factory=list)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A study made by hand stands in for one that trains and replays."""
    found = Asked()
    names = ("harmony", "hpa", "trailing_percentile", "static_peak")
    make: Any = score
    pairs = zip(names, (30, 40, 50, 60), strict=True)
    scores = tuple(make(name, gpus, 0.004) for name, gpus in pairs)

    def load(path: Path, options: Any) -> Any:
        found.file, found.options = path, options
        dropped = [SimpleNamespace(workload="w9", reason="too short")]
        return SimpleNamespace(fleet="the fleet", dropped=dropped)

    def run(of: str, epsilons: list[float], tell: Any, **settings: Any) -> Any:
        assert of == "the fleet"
        tell("training")
        found.promises, found.settings = epsilons, settings
        return SimpleNamespace(
            fleet=SimpleNamespace(label="shop", replay_hours=6.0),
            trained=SimpleNamespace(reason="the model"),
            results=[PromiseResult(epsilon, scores) for epsilon in epsilons],
            advice=lambda: "Recommended promise: 2.00%",
            to_json=lambda: {"data": "shop"},
        )

    monkeypatch.setattr(fleet, "load_trace", load)
    monkeypatch.setattr(study, "run_study", run)
    monkeypatch.setattr(plot, "plot_study", lambda _study, path: found.plotted.append(path))
    return found


def invoke(*arguments: str) -> str:
    command = ["backtest", "shop.parquet", *arguments]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_study_is_shown_promise_by_promise(asked: Asked) -> None:
    shown = invoke()
    assert "left out: w9: too short" in shown
    assert "shop, 6 h; forecaster: the model" in shown
    for promise in ("1.00%", "5.00%"):
        assert f"promise: at most {promise} of time out of SLA" in shown
    assert shown.count("Forecasting paid: 25.0% cheaper than hpa.") == 2
    assert "240" in shown
    assert "0.40%" in shown
    assert "Recommended promise: 2.00%" in shown
    assert asked.promises == [0.01, 0.05]
    assert asked.plotted == []


def test_options_reach_the_study_in_one_thread(asked: Asked, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    out, picture = tmp_path / "out.json", tmp_path / "out.png"
    try:
        invoke(
            *("--demand", "load", "--step", "600", "--hours", "6", "--risk", "0.02"),
            *("--seed", "3", "--policies", " hpa,,static_peak ", "--shortage-usd", "8"),
            *("--json", str(out), "--plot", str(picture)),
        )
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    wanted = fleet.TraceOptions(demand="load", step_s=600, replay_hours=6.0, seed=3)
    assert (asked.file, asked.options) == (Path("shop.parquet"), wanted)
    assert asked.promises == [0.02]
    assert asked.settings == {"policies": ["hpa", "static_peak"], "shortage_usd": 8.0}
    assert json.loads(out.read_text()) == {"data": "shop"}
    assert asked.plotted == [picture]


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=5, unique=True))
def test_promises_are_read_in_order(values: list[float]) -> None:
    assert promises(",".join(map(repr, values))) == values


@pytest.mark.parametrize(
    ("risk", "words"),
    [
        ("soon", "must be numbers"),
        ("", "must be numbers"),
        ("0", "between 0 and 1"),
        ("0.01,1", "between 0 and 1"),
        ("nan", "between 0 and 1"),
        ("0.01,0.010", "each promise once"),
    ],
)
def test_what_is_no_promise_is_refused(risk: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        promises(risk)
