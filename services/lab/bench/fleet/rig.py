"""The processes of a measurement: servers, the push API and workers, and what they use."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from services.kernel.db.notifications import libpq_url
from services.kernel.db.session import make_engine
from services.kernel.settings import Settings
from services.lab.bench.fleet.cpu import sum_cpu_s
from services.lab.bench.fleet.queues import QUEUES
from services.lab.bench.fleet.records import TaskRecord, read_records
from services.lab.bench.fleet.repository import DecidedRow, load_processes
from services.lab.bench.fleet.worker import is_up
from services.platform.child import Child, ProcessSpec
from services.platform.embedded_servers import data_folder
from services.platform.platform import platform_servers, process_env, server_process
from services.platform.processes import Supervisor, family_cpu_s, resident_gib

INGEST = "ingest"
_WORKER = "worker-"
_KIND_OF = {"postgres": "database", "valkey": "broker", INGEST: "ingest"}
_HEAR_S = 0.2
_START_S = 300.0


@dataclass(frozen=True, slots=True)
class Rig:
    """Running processes.

    Attributes:
        records: Folder with what the workers write down.
    """

    settings: Settings
    supervisor: Supervisor
    records: Path

    @property
    def engine(self) -> Engine:
        """Of the database."""
        return make_engine(self.settings.database_url)

    def workers(self) -> list[Child]:
        """The workers."""
        return [one for one in self.supervisor.children() if one.spec.name.startswith(_WORKER)]

    def start(self, n_workers: int) -> None:
        """Start the push API and the workers, each of which serves every queue of a cycle."""
        env = process_env(self.settings)
        specs = [server_process(INGEST, env | {"PGAPPNAME": INGEST})]
        served = {"HARMONY_QUEUES": ",".join(QUEUES)}
        for number in range(1, n_workers + 1):
            name = f"{_WORKER}{number}"
            argv = [sys.executable, "-m", "services.lab.bench.fleet.worker"]
            file = self.records / f"{name}.jsonl"
            known = env | served | {"PGAPPNAME": name}
            specs.append(
                ProcessSpec(
                    name,
                    [*argv, str(file)],
                    known,
                    start_timeout_s=_START_S,
                    probe=partial(is_up, file),
                )
            )
        self.supervisor.start_all(specs)

    def cpu_s(self) -> dict[str, float]:
        """CPU time so far of all processes of a kind: workers, ingest, database, broker."""
        spent: dict[str, float] = defaultdict(float)
        for child in self.supervisor.children():
            if child.is_alive():
                spent[_KIND_OF.get(child.spec.name, "workers")] += family_cpu_s(child.pid)
        return spent

    def ingest_database_s(self) -> float:
        """CPU time of the server processes of the push API's connections."""
        with self.engine.connect() as connection:
            return sum_cpu_s(load_processes(connection, INGEST))

    def rss_gib(self) -> float:
        """Memory of all processes now, pages that they share counted once."""
        return resident_gib(self.supervisor.pids())

    def read_records(self) -> list[TaskRecord]:
        """What the tasks have cost so far."""
        return read_records(sorted(self.records.glob("*.jsonl")))


@contextmanager
def running_servers(settings: Settings) -> Iterator[Rig]:
    """Servers of its own with a migrated, empty database; all is gone afterwards."""
    alone = {"database_url": "", "redis_url": "", "clock": "replay", "port": 0, "ingest_port": 0}
    given = settings.model_copy(update={**alone, "worker_metrics_port": None})
    name = f"bench-fleet-{os.getpid()}"
    try:
        with platform_servers(given, name) as platform:
            records = platform.folder / "records"
            records.mkdir()
            yield Rig(platform.settings, platform.supervisor, records)
    finally:
        shutil.rmtree(data_folder(given, name), ignore_errors=True)


@dataclass(slots=True)
class DecisionEar:
    """Hears when the decisions of a shard are committed."""

    url: str
    now: Callable[[], datetime]
    heard: dict[int, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Hear from now on."""
        connection = psycopg.connect(libpq_url(self.url), autocommit=True)
        connection.execute("LISTEN harmony_decisions")
        self._thread = threading.Thread(target=self._hear, args=(connection,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def committed_at(self, row: DecidedRow) -> datetime:
        """When the run that decided was over: the next that was heard of its shard."""
        times = self.heard.get(row.shard, [])
        found = bisect_left(times, row.decided_at)
        return times[found] if found < len(times) else row.decided_at

    def _hear(self, connection: psycopg.Connection) -> None:
        with connection:
            while not self._stop.is_set():
                for news in connection.notifies(timeout=_HEAR_S):
                    self.heard[int(news.payload)].append(self.now())
