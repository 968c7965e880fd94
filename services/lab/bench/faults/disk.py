"""A disk of the bench's own, small enough to be filled; or, without the right to, a limit."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

_SIZE = "2g"
_NEEDED_BYTES = 6 * 2**30
LIMIT_BYTES = 8 * 2**20
"""Largest file where there is only a limit: half of a segment of Postgres's log."""


class BenchDisk:
    """Where the platform's data lie.

    Attributes:
        kind: `tmpfs`: a file system in memory, which is really full once it is made as small as
            what is in it; `limit`: no file may grow beyond a size, which the server meets in the
            same places.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        """Mount a file system at `folder` where that is allowed, until `stack` ends."""
        self._folder = folder
        self.kind = "tmpfs" if _make(folder) else "limit"
        if self.kind == "tmpfs":
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=False)

    def fill(self, server_pid: int) -> None:
        """Let there be no room for the server and its children; to be called again and again."""
        if self.kind == "limit":
            _limit(server_pid, LIMIT_BYTES)
            return
        known = os.statvfs(self._folder)
        used = max((known.f_blocks - known.f_bfree) * known.f_frsize, known.f_frsize)  # 0: no limit
        _mount(self._folder, f"remount,size={used}")  # refused where more is used by now

    def free(self, server_pid: int) -> None:
        """Make room again."""
        if self.kind == "limit":
            _limit(server_pid, psutil.RLIM_INFINITY)
        else:
            _mount(self._folder, f"remount,size={_SIZE}")


def _make(folder: Path) -> bool:
    """Mount a small file system; false: not allowed, not known, or too little memory."""
    if os.geteuid() != 0 or psutil.virtual_memory().available < _NEEDED_BYTES:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    return _mount(folder, f"size={_SIZE},mode=755")


def _mount(folder: Path, options: str) -> bool:
    argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _limit(server_pid: int, size: int) -> None:
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(server_pid)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.Error):  # gone, or another user's: then it does not bite
                _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))
