"""A disk of the bench's own, small enough to be filled; or, without the right to, a limit."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

_SIZE = "2g"
_NEEDED_BYTES = 6 * 2**30
_FILLER = "filler"
_PIECE_BYTES = 2**20
LIMIT_BYTES = 8 * 2**20
"""Largest file where there is only a limit: half of a segment of Postgres's log."""


class BenchDisk:
    """Where the platform's data lie.

    Attributes:
        kind: `tmpfs`: a file system in memory, which is really full once it is filled; `limit`: no
            file may grow beyond a size, which the server meets in the same place.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        """Mount a file system at `folder` where that is allowed, until `stack` ends."""
        self._folder = folder
        self.kind = "tmpfs" if _mount(folder) else "limit"
        if self.kind == "tmpfs":
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=False)

    def fill(self, server_pid: int) -> None:
        """Let there be no room for the server and its children; to be called again and again."""
        if self.kind == "limit":
            _limit(server_pid, LIMIT_BYTES)
            return
        with suppress(OSError), (self._folder / _FILLER).open("ab") as filler:  # it is full
            size = filler.tell()
            while True:
                os.posix_fallocate(filler.fileno(), size, _room(self._folder))
                size = os.fstat(filler.fileno()).st_size

    def free(self, server_pid: int) -> None:
        """Make room again."""
        if self.kind == "limit":
            _limit(server_pid, psutil.RLIM_INFINITY)
        (self._folder / _FILLER).unlink(missing_ok=True)


def _room(folder: Path) -> int:
    return max(shutil.disk_usage(folder).free, _PIECE_BYTES // 256)


def _mount(folder: Path) -> bool:
    """Mount a small file system; false: not allowed, not known, or too little memory."""
    if os.geteuid() != 0 or psutil.virtual_memory().available < _NEEDED_BYTES:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=755", "tmpfs", str(folder)]
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _limit(server_pid: int, size: int) -> None:
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(server_pid)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))
