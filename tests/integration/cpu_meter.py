"""CPU time of this process and of its connections' server processes, by stage."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

from services.lab.bench.fleet.cpu import sum_cpu_s


class CpuMeter:
    """Counts for a database on this machine that nobody else uses meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._engine = engine

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is done within as a stage's, in CPU seconds."""
        before_s = time.process_time() + self._database_s()
        yield
        self.spent[name] += time.process_time() + self._database_s() - before_s

    def _database_s(self) -> float:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        with self._engine.connect() as connection:
            return sum_cpu_s(connection.execute(text(query)).scalars())
