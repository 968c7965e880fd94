"""`harmony bench ablate`: the forecaster is trained once and kept; tables are made of documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import forecaster
from services.cli.application import app
from services.lab.bench.ablate import run
from services.lab.bench.ablate.run import Ablation
from services.lab.bench.decide import task as tasks
from services.lab.bench.decide.task import DecideOptions
from services.lab.bench.forecast import own_arms
from tests.unit.lab.bench.ablate.documents import document

TASK = SimpleNamespace(forecast=SimpleNamespace(data="shop"))
Ran = list[tuple[Ablation, Any, DecideOptions]]


class Arm:
    """Trains at once; counts how often."""

    n_fits = 0

    def fit(self, _task: Any, seed: int, tell: Callable[[str], None]) -> Any:
        tell("training")
        Arm.n_fits += 1
        return SimpleNamespace(model=f"model of seed {seed}")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Runs with their model and options, in place of runs of every arm."""
    found: Ran = []
    loaded: list[DecideOptions] = []

    def load(_path: Path, *, demand: str | None, options: DecideOptions) -> Any:
        assert demand is None
        loaded.append(options)
        return TASK

    def ablate(one: Ablation, _tell: Any, keep: Any, train: Any) -> None:
        found.append((one, train(), loaded[-1]))
        keep(document("shop", no_floor=(0.01, 2.2)))

    monkeypatch.setattr(Arm, "n_fits", 0)
    monkeypatch.setattr(tasks, "load_decide_task", load)
    monkeypatch.setattr(run, "ablate", ablate)
    monkeypatch.setattr(own_arms, "ModelArm", Arm)
    monkeypatch.setattr(forecaster, "model_to_bytes", lambda model: model.encode())
    monkeypatch.setattr(forecaster, "model_from_bytes", lambda data: f"stored {data.decode()}")
    return found


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def ablate(out: Path, *arguments: str) -> None:
    invoke("ablate", "--data", "shop.parquet", "--json", str(out), *arguments)


def test_options_reach_the_run_in_one_thread(ran: Ran, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ablate(tmp_path / "a.json", "--risk", "0.02", "--seed", "3", "--max-test-steps", "80")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    ((one, model, options),) = ran
    assert one == Ablation(TASK, (0.02,), 3)  # type: ignore[arg-type]
    assert model == "model of seed 3"
    assert options == DecideOptions(80, max_prelude_steps=40, seed=3)
    assert json.loads((tmp_path / "a.json").read_text())["data"] == "shop"


def test_a_trained_forecaster_is_kept_and_taken_from_its_folder(ran: Ran, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "models"
    for _ in range(2):
        ablate(tmp_path / "a.json", "--models", str(folder))
    assert Arm.n_fits == 1
    assert [model for _, model, _ in ran] == ["model of seed 7", "stored model of seed 7"]
    assert [path.name for path in folder.iterdir()] == ["shop-7.model"]
    ablate(tmp_path / "a.json", "--models", str(folder), "--seed", "8")
    assert Arm.n_fits == 2


def test_the_summary_shows_arms_forecasts_and_the_verdict(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document("shop", no_floor=(0.01, 2.2))))
    shown = invoke("ablate-summary", str(path), "--markdown")
    assert "as deployed, promise 1 %" in shown
    assert "| no_floor | the reactive floor |" in shown
    assert "forecasts" in shown
    assert "what earns its place" in shown
    one = invoke("ablate-summary", str(path), "--markdown", "--arm", "no_floor")
    assert "no_floor as deployed, promise 1 %" in one
    assert "| shop | 1.00% | 1.100 |" in one
    assert "what earns its place" not in one
