"""`harmony bench response`: its tables, its document, what bad input gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.cli.bench.response import read_means
from services.kernel.errors import InvalidInput, Unavailable
from services.lab.arena import engine, make_table, response_report
from services.lab.arena.response_report import ResponseArm
from tests.unit.lab.arena.fake_engine import FakeEngine
from tests.unit.lab.arena.made_table import made_table

RUNNER = CliRunner()


def run(*arguments: object) -> Any:
    texts = [str(argument) for argument in arguments]
    return RUNNER.invoke(app, ["bench", *texts])


def test_a_table_is_made_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_table, "ReplayEngine", lambda choice: FakeEngine(choice, 5000.0))
    monkeypatch.setattr(response_report, "ARMS", (ResponseArm("input", ("input_tokens_per_s",)),))
    path = tmp_path / "table.npz"
    made = run("response-table", path, "--inputs", "100,200", "--outputs", "20", "--ttft", "9s")
    assert made.exit_code == 0, made.output
    assert "40 points" in made.output
    assert json.loads(path.with_suffix(".json").read_text())["command"].startswith(
        "harmony bench response-table table.npz --model Qwen/Qwen3-32B --gpu a100_sxm"
    )
    made_table().save(path)
    document = tmp_path / "report.json"
    judged = run("response", "--table", path, "--json", document)
    assert judged.exit_code == 0, judged.output
    assert "Single minutes" in judged.output
    assert "4 replicas" in judged.output
    assert set(json.loads(document.read_text())["parts"]) == {"all", "at most 20% missed"}


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    result = run("response", "--table", tmp_path / "none.npz")
    assert isinstance(result.exception, InvalidInput)
    assert "none.npz" in result.exception.message


def test_without_the_engine_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.VARIABLE, str(tmp_path / "none"))
    result = run("response-table", tmp_path / "table.npz")
    assert isinstance(result.exception, Unavailable)
    assert "make arena" in result.exception.message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "a", "0.5", "100,20000", "100,nan"])
def test_lengths_that_no_request_has_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"--inputs=.* must be numbers of 1 to 16000"):
        read_means("--inputs", text)
