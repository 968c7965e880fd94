"""One process at a time uses a data folder, and ends what a killed one has left in it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from services.kernel.errors import Unavailable
from services.platform.child import Child, kill_session

SCRATCH_PREFIX = "harmony-"
"""Begins the name of every temporary folder."""
_LEFTOVER_TIMEOUT_S = 5.0
_REMOVAL_S = 1.0
"""A thousand files of an unfinished database take several seconds on a busy machine."""
_SAME_START_S = 2.0  # a recycled process id has a start of its own


class FolderClaim:
    """A folder that is this process's until released; the kernel releases it when that is killed.

    Its record names the processes and temporary folders in use. Whoever finds a record after taking
    the claim knows that its writer was killed, and that what still lives of it is nobody's.
    """

    def __init__(self, folder: Path) -> None:
        """Take it, and clean up after a killed holder.

        Raises:
            Unavailable: A living process holds it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._record = folder / "processes.json"
        self._folders: list[Path] = []
        self._lock = (folder / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise Unavailable(
                f"{folder} is in use by process {holder}; end it, or set HARMONY_HOME to another "
                "folder"
            ) from error
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        _clean_up(self._record)

    def scratch(self, parent: Path | None = None) -> Path:
        """A temporary folder that ends with the claim; `parent`: where, if not the system's."""
        found = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=parent))
        self._folders.append(found)
        return found

    def note(self, children: Sequence[Child]) -> None:
        """Write down who lives."""
        processes = [
            {
                "name": child.spec.name,
                "pid": child.pid,
                "started": started,
                "ending": int(child.spec.endings[0]),
            }
            for child in children
            if (started := _started(child.pid)) is not None
        ]
        written = {"processes": processes, "folders": [str(folder) for folder in self._folders]}
        part = self._record.with_suffix(".part")
        part.write_text(json.dumps(written))
        part.replace(self._record)

    def release(self) -> None:
        """Give it back; all processes have ended.

        Whoever ends waits for this: what cannot be removed in time is left to the next holder.
        """
        deadline = time.monotonic() + _REMOVAL_S
        self._folders = [folder for folder in self._folders if not _remove(folder, deadline)]
        if self._folders:
            self.note([])
        else:
            self._record.unlink(missing_ok=True)
        self._folders.clear()
        self._lock.close()


def _remove(folder: Path, deadline: float) -> bool:
    """Remove a folder; false: there was no time for all of it."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            if time.monotonic() > deadline:
                return False
            with suppress(OSError):
                Path(parent, name).unlink()
    shutil.rmtree(folder, ignore_errors=True)  # empty folders
    return True


def end_leftover(process: psutil.Process, word: signal.Signals) -> None:
    """End a process that a killed platform has left: as asked, then at once."""
    try:
        process.send_signal(word)
        process.wait(_LEFTOVER_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        kill_session(process.pid)
        psutil.wait_procs([process], timeout=_LEFTOVER_TIMEOUT_S)


def _clean_up(record: Path) -> None:
    try:
        left: dict[str, Any] = json.loads(record.read_text())
        processes = [(one["pid"], one["started"], one["ending"]) for one in left["processes"]]
        folders = [Path(one) for one in left["folders"]]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):  # as a machine that lost its power leaves it
        record.unlink()
        return
    for pid, began, ending in reversed(processes):
        started = _started(pid)
        if started is not None and abs(started - began) < _SAME_START_S:
            end_leftover(psutil.Process(pid), signal.Signals(ending))
    for folder in folders:
        if folder.name.startswith(SCRATCH_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
    record.unlink()


def _started(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
