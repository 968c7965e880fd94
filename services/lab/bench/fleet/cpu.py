"""CPU time of this process and of the database's, for machines that others use too."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from services.lab.bench.fleet.repository import load_processes

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class CpuMeter:
    """CPU seconds by stage: Python here, and the processes of a database on the same machine.

    Attributes:
        spent: By stage, the sum of both.
        in_database: By stage, those of the database.
    """

    engine: Engine
    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    in_database: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is done within as a stage's."""
        python_s, database_s = time.process_time(), self._database_s()
        yield
        database_s = self._database_s() - database_s
        self.in_database[name] += database_s
        self.spent[name] += time.process_time() - python_s + database_s

    def _database_s(self) -> float:
        with self.engine.connect() as connection:
            return sum(_cpu_s(pid) for pid in load_processes(connection))


def _cpu_s(pid: int) -> float:
    """User and system time of a process; 0 where it has ended or runs elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
