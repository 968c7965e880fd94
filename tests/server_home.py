"""Where the tests' servers keep their data: in memory where there is room, else on the disk.

A database of its own for each test is some three hundred small files that are made and dropped. On
a disk that took most of a run's time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
LEAST_FREE_BYTES = 4 * 2**30
_PREFIX = "harmony-tests-"


@contextmanager
def folder_in_memory(memory: Path = MEMORY) -> Iterator[Path | None]:
    """A folder in memory that goes with the run; None: there is no room for it."""
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield None
        return
    drop_leftovers(memory)
    if shutil.disk_usage(memory).free < LEAST_FREE_BYTES:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=memory))
    folder.chmod(0o755)  # run as root, the database is another user's
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def drop_leftovers(memory: Path) -> None:
    """Remove what runs left that were killed."""
    for folder in memory.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
