"""What the benchmark commands share: a line of progress, and one thread of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.cli.output import console


@contextmanager
def progress(prefix: str = "") -> Iterator[Callable[[str], None]]:
    """A line that says what is being done, and since when."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    before = f"{prefix}: " if prefix else ""
    with Progress(*columns, console=console, transient=True) as shown:
        line = shown.add_task(f"{before}reading")
        yield lambda text: shown.update(line, description=before + text)


def one_thread() -> None:
    """Let torch compute in one thread: figures then do not depend on the machine's cores."""
    import torch

    torch.set_num_threads(1)
