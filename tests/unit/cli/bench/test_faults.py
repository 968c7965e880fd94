"""`harmony bench faults`: its document and table, and its status where something did not hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.errors import InvalidInput
from services.lab.bench.faults import run as module
from services.lab.bench.faults.bounds import Violation
from services.lab.bench.faults.kinds import KINDS
from services.lab.bench.faults.report import RunFacts, to_document
from services.lab.bench.faults.schedule import PlannedFault, StruckFault

RUNNER = CliRunner()


def document(*violations: Violation) -> dict[str, Any]:
    struck = [StruckFault(PlannedFault(KINDS[0], 0.0, 0.0), has_bitten=not violations)]
    return to_document(RunFacts(7, 5, 24, 9, 8, 7, 0, 1), struck, violations, {0: 1.0})


def run(monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], *options: str) -> Any:
    asked: list[Any] = []

    def answer(*arguments: Any, **_: Any) -> dict[str, Any]:
        asked.append(arguments[0])
        return found

    monkeypatch.setattr(module, "run_faults", answer)
    result = RUNNER.invoke(app, ["bench", "faults", *options])
    return result, asked


def test_a_run_in_which_all_held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    options = ("--seed", "3", "--faults", "60", "--json", str(file))
    result, (asked,) = run(monkeypatch, document(), *options)
    assert result.exit_code == 0, result.output
    assert (asked.seed, asked.n_faults, asked.minutes) == (3, 60, 23.0)
    assert json.loads(file.read_text())["lost"] == 0
    assert "recovery beyond a step, p95, s" in result.output


def test_a_violation_is_named_and_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "found.json"
    violation = Violation("lost", "shop/llm-01 at origin 12:00:05: no decision")
    result, _ = run(monkeypatch, document(violation), "--json", str(file), "--markdown")
    assert result.exit_code == 1
    assert violation.text in result.output
    assert f"did not bite: {KINDS[0].name}" in result.output
    assert json.loads(file.read_text())["offending"] == [f"lost: {violation.text}"]


def test_a_folder_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result, asked = run(monkeypatch, document(), "--json", str(tmp_path))
    assert isinstance(result.exception, InvalidInput)
    assert asked == []
