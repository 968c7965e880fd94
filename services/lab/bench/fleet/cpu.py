"""CPU time by process, so that other work on the machine is not counted.

A server process of Postgres belongs to one connection. A process that knows which ones are its own
can say what a piece of its work cost there, whatever the others do meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NS = 1e9


def thread_cpu_s(pid: int) -> float:
    """CPU time of a process of one thread; 0 where it has ended or runs elsewhere."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / _NS
    except (OSError, IndexError):  # a kernel without it counts in ticks
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class OwnBackends:
    """The server processes of this process's connections, from now on."""

    def __init__(self) -> None:
        """Follow every engine of this process, also those that are made later."""
        self._pids: set[int] = set()
        self._ended_s = 0.0
        event.listen(Engine, "connect", self._on_connect)
        event.listen(Engine, "close", self._on_close)

    def cpu_s(self) -> float:
        """CPU time that they have had, those that have ended included."""
        return self._ended_s + sum_cpu_s(self._pids)

    def stop(self) -> None:
        """Follow no more; what was followed is still counted."""
        if not event.contains(Engine, "connect", self._on_connect):
            return
        event.remove(Engine, "connect", self._on_connect)
        event.remove(Engine, "close", self._on_close)

    def _on_connect(self, connection: Any, _record: object) -> None:
        self._pids.add(connection.info.backend_pid)

    def _on_close(self, connection: Any, _record: object) -> None:
        pid = connection.info.backend_pid
        if pid in self._pids:
            self._pids.remove(pid)
            self._ended_s += thread_cpu_s(pid)


def sum_cpu_s(pids: Iterable[int]) -> float:
    """CPU time of processes of one thread each."""
    return sum(thread_cpu_s(pid) for pid in pids)


@contextmanager
def own_backends() -> Iterator[OwnBackends]:
    """Follow this process's connections; those that are open already are not known."""
    found = OwnBackends()
    try:
        yield found
    finally:
        found.stop()
