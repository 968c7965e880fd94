"""A line of progress, and torch in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import pytest
import torch
from rich.console import Console

from services.cli.bench import progress as module
from services.cli.bench.progress import one_thread, progress


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
