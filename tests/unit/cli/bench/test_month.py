"""`harmony bench month`: its options reach the replay, and what comes of it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.errors import InvalidInput
from services.lab.bench.month import run
from services.lab.bench.month.document import to_document
from services.lab.bench.month.source import MonthOptions, Watch
from tests.unit.lab.bench.month.sources import TRACE, source

ASKED = ["--workloads", "3", "--days", "30", "--risk", "0.02", "--seed", "5"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[MonthOptions]:
    """Options that were replayed with, in place of a replay."""
    found: list[MonthOptions] = []

    def replay(tasks: Sequence[Any], options: MonthOptions, watch: Watch) -> dict[str, Any]:
        watch("reading", 1, 0)
        watch("replaying", 3, 10)
        found.append(options)
        return to_document([source(), source(TRACE, data="trace", days=3.0)], options)

    monkeypatch.setattr(run, "run_month", replay)
    return found


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["bench", "month", *ASKED, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_options_reach_the_replay_in_one_thread(asked: list[MonthOptions]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        invoke("--max-test-steps", "99")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert asked == [MonthOptions(3, 30, 0.02, 5, max_test_steps=99)]


@pytest.mark.usefixtures("asked")
def test_every_source_and_the_total_are_shown_with_verdict_and_assumptions() -> None:
    shown = invoke()
    assert "fleet: 2 workloads" in shown
    assert "trace: 1 workloads" in shown
    assert "total of 30 days" in shown
    assert "1,600" in shown
    assert "* All of fleet is made up." in shown.replace("\n", " ")
    assert "| policy |" not in shown


@pytest.mark.usefixtures("asked")
def test_sentences_stand_below_their_table() -> None:
    from services.lab.bench.month import report

    document = to_document(
        [source(), source(TRACE, data="trace", days=3.0)],
        MonthOptions(3, 30, 0.02, 5),
    )
    shown = invoke("--markdown")
    assert "| policy |" in shown
    for part in report.parts(document):
        assert report.verdict(part, 0.02) in shown
        assert report.settings(part) in shown
    for line in report.assumptions(document):
        assert f"* {line}" in shown


@pytest.mark.usefixtures("asked")
def test_the_document_and_the_plot_are_written(tmp_path: Path) -> None:
    invoke("--json", str(tmp_path / "m.json"), "--plot", str(tmp_path / "m.png"))
    assert json.loads((tmp_path / "m.json").read_text())["promise"] == 0.02
    assert (tmp_path / "m.png").stat().st_size > 10_000


@pytest.mark.parametrize("flag", ["--json", "--plot"])
def test_a_folder_is_refused_before_the_replay(
    flag: str, tmp_path: Path, asked: list[MonthOptions]
) -> None:
    with pytest.raises(InvalidInput, match=f"{flag}=.*: is a folder"):
        invoke(flag, str(tmp_path))
    assert asked == []
