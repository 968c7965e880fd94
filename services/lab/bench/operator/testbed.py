"""Testbed of a measurement: Postgres, the simulated cluster and the operator, as processes."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from services.kernel.db.migrations import migrate
from services.kernel.db.session import dispose_engines, make_engine
from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.lab.bench.operator.repository import fresh_database
from services.lab.cluster.start import start_cluster
from services.platform.child import ProcessSpec
from services.platform.embedded_postgres import embedded_postgres
from services.platform.embedded_servers import default_home
from services.platform.processes import Supervisor

NAMESPACE = "default"
"""Where the Lease is."""


@dataclass(frozen=True, slots=True)
class Testbed:
    """Addresses and processes of a running testbed."""

    url: str
    database_url: str
    engine: Engine
    supervisor: Supervisor


@contextmanager
def running_testbed(
    settings: Settings, nodes: str, folder: Path | None = None
) -> Iterator[Testbed]:
    """A migrated, empty database and a cluster with `nodes`; both are gone afterwards.

    Raises:
        Unavailable: Something does not start.
    """
    home = settings.home or (default_home() if os.geteuid() == 0 else None)
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="harmony-bench-"))
        place = (home or Path(scratch)) / f"bench-operator-{os.getpid()}"
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        with _server(settings, place) as server_url, fresh_database(server_url) as database_url:
            engine = make_engine(database_url)
            migrate(engine)
            with Supervisor(folder or Path(scratch) / "platform") as supervisor:
                options = ["--clock", "real", "--nodes", nodes, "--seed", str(settings.seed)]
                url = start_cluster(supervisor, *options, "--watch-log", "50000")
                try:
                    yield Testbed(url, database_url, engine, supervisor)
                finally:
                    dispose_engines(database_url)


@contextmanager
def _server(settings: Settings, place: Path) -> Iterator[str]:
    if settings.database_url:
        yield settings.database_url
        return
    with embedded_postgres(place) as url:
        yield url


class OperatorProcess:
    """The operator under measurement, seen through its probes, metrics and the kernel."""

    def __init__(self, testbed: Testbed, interval_s: float) -> None:
        """Start it and wait for its probes; `interval_s` is the time between passes."""
        env = {
            "HARMONY_DATABASE_URL": testbed.database_url,
            "HARMONY_KUBE_URL": testbed.url,
            "HARMONY_OPERATOR_METRICS_PORT": "0",
            "HARMONY_RECONCILE_INTERVAL_S": str(interval_s),
            "HARMONY_LEADER_ELECTION": "on",
            "HARMONY_LEASE_NAMESPACE": NAMESPACE,
            "PYTHONUNBUFFERED": "1",
        }
        before = set(testbed.supervisor.pids())
        argv = [sys.executable, "-m", "services.operator.main"]
        testbed.supervisor.start_all(
            [ProcessSpec("operator", argv, env, server="operator metrics")]
        )
        (pid,) = set(testbed.supervisor.pids()) - before
        self._process = psutil.Process(pid)
        self._http = httpx.Client(base_url=testbed.supervisor.address("operator"), timeout=30)
        self._testbed = testbed

    def close(self) -> None:
        """Close the connection; the supervisor ends the process."""
        self._http.close()

    def is_ready(self) -> bool:
        """Check whether it leads and its first pass is complete.

        Raises:
            Unavailable: It has ended.
        """
        self._testbed.supervisor.check()
        try:
            return self._http.get("/readyz").status_code == 200 and self.n_passes() > 0
        except httpx.TransportError:
            return False

    def _figure(self, name: str) -> float:
        for family in text_string_to_metric_families(self._http.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name:
                    return float(sample.value)
        raise Unavailable(f"the operator has no metric {name}")

    def n_passes(self) -> float:
        """Passes that it has completed."""
        return self._figure("harmony_reconcile_duration_seconds_count")

    def pass_seconds(self) -> float:
        """Seconds that it has spent in them."""
        return self._figure("harmony_reconcile_duration_seconds_sum")

    def rss_mib(self) -> float:
        """Resident memory now."""
        return float(self._process.memory_info().rss) / 2**20

    def peak_rss_mib(self) -> float:
        """Most resident memory so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 2**10

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)
