"""`harmony capacity profile`: a prior to paste, or one document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.errors import Unavailable
from services.lab.arena import engine
from tests.unit.lab.arena.fake_engine import FakeEngine

RUNNER = CliRunner()
ASKED = ("--input", "200", "--output", "50", "--ttft", "9s")


def run(*arguments: str) -> Any:
    return RUNNER.invoke(app, ["capacity", "profile", *arguments])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of a few lines."""
    monkeypatch.setattr(engine, "ReplayEngine", lambda choice: FakeEngine(choice, 2000.0))


@pytest.mark.usefixtures("fake")
def test_the_page_has_limits_and_what_to_paste() -> None:
    result = run(*ASKED)
    assert result.exit_code == 0, result.output
    assert "Qwen/Qwen3-32B on 1 x a100_sxm, vllm 1" in result.output
    assert "prompts twice as long" in result.output
    assert "alsoBoundBy:\n  - indicator: input_tokens_per_s" in result.output


@pytest.mark.usefixtures("fake")
def test_the_document_is_one() -> None:
    document = json.loads(run(*ASKED, "--json").output)
    assert document["goals"] == {"ttft_ms": 9000.0, "tpot_ms": 100.0}
    assert document["spec"]["demand"] == "request_rate_rps"


def test_without_the_engine_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.VARIABLE, str(tmp_path))
    result = run()
    assert isinstance(result.exception, Unavailable)
    assert "run `make arena`" in result.exception.message
