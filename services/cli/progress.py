"""What long commands share: what is being done and since when, and one thread of torch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.cli.output import console
from services.kernel.security.printable import without_escapes

MIN_LINE_GAP_S = 5.0
"""Where the output is no terminal, a line at most so often."""


@contextmanager
def progress(prefix: str = "") -> Iterator[Callable[[str], None]]:
    """Say what is being done: in one changing line, or line by line where there is no terminal.

    Lines go to stderr, so that a document on stdout stays whole.
    """
    before = f"{prefix}: " if prefix else ""
    if not console.is_terminal:
        yield _Lines(before)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        line = shown.add_task(f"{before}reading")
        yield lambda text: shown.update(line, description=before + text)


class _Lines:
    """Progress for a log: the first thing done, then what is done after a while."""

    def __init__(self, before: str) -> None:
        self._before = before
        self._began_s = time.monotonic()
        self._next_s = self._began_s

    def __call__(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + MIN_LINE_GAP_S
        said = without_escapes(f"{self._before}{text}")
        sys.stderr.write(f"{now_s - self._began_s:6.0f} s  {said}\n")
        sys.stderr.flush()


def one_thread() -> None:
    """Let torch compute in one thread: figures then do not depend on the machine's cores."""
    import torch

    torch.set_num_threads(1)
