"""A line of progress, and torch in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import pytest
import torch
from rich.console import Console

from services.cli import progress as module
from services.cli.progress import one_thread, progress


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What a terminal shows."""
    text = StringIO()
    terminal = Console(file=text, force_terminal=True, width=80)
    monkeypatch.setattr(module, "console", terminal)
    return text


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_line_says_what_is_being_done(shown: StringIO) -> None:
    with progress() as tell:
        tell("training")
    assert "training" in shown.getvalue()
    assert ": training" not in shown.getvalue()


def test_every_line_begins_with_the_prefix(shown: StringIO) -> None:
    with progress("fisher") as tell:
        tell("training")
    assert "fisher: training" in shown.getvalue()
    assert shown.getvalue().count("training") == shown.getvalue().count("fisher: training")


@pytest.mark.usefixtures("two_threads")
def test_torch_computes_in_one_thread() -> None:
    one_thread()
    assert torch.get_num_threads() == 1


def test_without_a_terminal_it_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([0.0, 1.0, 2.0, 7.5])  # when it begins, then at each thing that is told
    monkeypatch.setattr(module, "console", Console(file=StringIO(), width=80))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(seconds))
    with progress("mine") as tell:
        for text in ("reading", "training", "replaying"):
            tell(text)
    told = capsys.readouterr()
    assert told.err.splitlines() == ["     1 s  mine: reading", "     8 s  mine: replaying"]
    assert told.out == ""
