"""Several operators as processes of their own: killed, stopped, and without database or API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import create_engine, text

from services.kernel.clock import ReplayClock
from services.kernel.db.session import sqlalchemy_url
from tests.integration.operator.conftest import Bench
from tests.integration.operator.test_main import eventually, notify
from tests.reported_port import reported_port

# `slow`: five processes are started, and Leases have to run out.
pytestmark = [pytest.mark.integration, pytest.mark.slow]

DURATION_S, DEADLINE_S, RETRY_S = 10, 7.0, 0.3


@dataclass
class Operator:
    """A running operator with its metrics port."""

    process: subprocess.Popen[str]
    port: int

    def probe(self, path: str) -> tuple[int, str]:
        """Status and text of a path; status 0 where nobody answers."""
        try:
            found = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)
        except httpx.HTTPError:
            return 0, ""
        return found.status_code, found.text

    def leads(self) -> bool:
        return '\nharmony_leader{cluster="default"} 1.0\n' in self.probe("/metrics")[1]

    def is_ready(self) -> bool:
        return self.probe("/readyz")[0] == 200


@dataclass
class Crew:
    """Starts operators that stand for the same Lease; all end with the test."""

    env: dict[str, str]
    folder: Path
    stack: ExitStack
    members: list[Operator] = field(default_factory=list)

    def start(self) -> Operator:
        stream = self.stack.enter_context((self.folder / f"{len(self.members)}.log").open("wb"))
        command = [sys.executable, "-m", "services.operator.main"]
        process = subprocess.Popen(
            command, env=self.env, stdout=subprocess.PIPE, stderr=stream, text=True
        )
        self.stack.callback(process.communicate)  # reads its last words once it is killed
        self.stack.callback(process.kill)
        self.members.append(Operator(process, reported_port(process, "operator metrics")))
        return self.members[-1]

    def living(self) -> list[Operator]:
        return [operator for operator in self.members if operator.process.poll() is None]

    def end(self) -> None:
        self.stack.close()
        for log in sorted(self.folder.glob("*.log")):
            print(log.read_text()[-2000:])


@pytest.fixture
def crew(bench: Bench, redis_url: str, tmp_path: Path) -> Iterator[Crew]:
    """Two operators on the bench's cluster, and a place for more."""
    ReplayClock(redis.Redis.from_url(redis_url)).set(bench.clock.now())
    env = os.environ | {
        "HARMONY_DATABASE_URL": bench.deps.settings.database_url,
        "HARMONY_REDIS_URL": redis_url,
        "HARMONY_KUBE_URL": bench.lab.url,
        "HARMONY_CLOCK": "replay",
        "HARMONY_RECONCILE_INTERVAL_S": "1",
        "HARMONY_OPERATOR_METRICS_PORT": "0",
        "HARMONY_LEADER_ELECTION": "on",
        "HARMONY_LEASE_NAMESPACE": bench.lab.namespace,
        "HARMONY_LEASE_DURATION_S": str(DURATION_S),
        "HARMONY_LEASE_RENEW_DEADLINE_S": str(DEADLINE_S),
        "HARMONY_LEASE_RETRY_S": str(RETRY_S),
    }
    with ExitStack() as stack:
        found = Crew(env, tmp_path, stack)
        try:
            for _ in range(2):
                found.start()
            yield found
        finally:
            found.end()


def leader_and_standby(crew: Crew) -> tuple[Operator, Operator]:
    operators = crew.living()
    eventually(lambda: any(o.leads() for o in operators), "a leader")
    eventually(lambda: all(o.is_ready() for o in operators), "both to be ready")
    leader, standby = sorted(operators, key=lambda o: not o.leads())
    assert not standby.leads()
    return leader, standby


def test_a_stopped_leader_hands_over_and_a_killed_one_is_replaced_and_nothing_is_done_twice(
    bench: Bench, crew: Crew
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    stopped, leader = leader_and_standby(crew)
    eventually(lambda: bench.rows("workloads"), "the registration")
    stopped.process.send_signal(signal.SIGTERM)
    stopped_s = time.monotonic()
    eventually(leader.leads, "the other to lead")
    assert time.monotonic() - stopped_s < DURATION_S - RETRY_S, "it need not wait for the end"
    assert stopped.process.wait(60) == 0

    standby = crew.start()  # only now: it would stand for the Lease too
    eventually(standby.is_ready, "the new one to stand by")
    first = bench.decide("llama", 5)
    notify(bench, "harmony_decisions")
    eventually(lambda: len(bench.results()) == 1, "the first action")
    second = bench.decide("llama", 7)
    leader.process.kill()
    killed_s = time.monotonic()
    eventually(standby.leads, "the new one to lead")
    assert time.monotonic() - killed_s < DURATION_S + 20
    eventually(lambda: len(bench.results()) == 2, "the second action")
    assert bench.results() == [(first, 1, "applied"), (second, 1, "applied")]
    assert bench.lab.replicas("llama") == 7


def test_without_database_or_api_server_it_holds_says_so_and_recovers(
    bench: Bench, crew: Crew, server_urls: tuple[str, str]
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    leader, _ = leader_and_standby(crew)
    eventually(lambda: bench.rows("workloads"), "the registration")
    decision = bench.decide("llama", 5, decided_at=bench.clock.now())
    n_before = without_database(bench, leader, server_urls[0])
    eventually(lambda: bench.results() == [(decision, 1, "applied")], "the action")
    assert (n_before, bench.lab.replicas("llama")) in ((2, 5), (5, 5))

    bench.lab.fault(kind="unavailable", times=1_000_000)
    eventually(lambda: not any(o.leads() for o in crew.members), "nobody to lead")
    bench.clock.advance(bench.step_s)
    later = bench.decide("llama", 6)
    eventually(lambda: not any(o.is_ready() for o in crew.members), "nobody to be ready")
    assert all(o.process.poll() is None for o in crew.members)
    assert len(bench.results()) == 1
    bench.lab.http.delete("/lab/faults")
    eventually(lambda: bench.results()[1:] == [(later, 1, "applied")], "the action")
    assert sum(o.leads() for o in crew.members) == 1


def without_database(bench: Bench, leader: Operator, server_url: str) -> int:
    """Take the database away until the leader says so; the target's replicas meanwhile."""
    name = bench.engine.url.database
    bench.engine.dispose()
    admin = create_engine(sqlalchemy_url(server_url), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
    eventually(lambda: "database:" in leader.probe("/readyz")[1], "it to say so")
    assert 'harmony_holding{reason="database"} 1.0' in leader.probe("/metrics")[1]
    assert leader.probe("/healthz")[0] == 200
    assert leader.leads(), "the API server is there"
    n_replicas = bench.lab.replicas("llama")
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    admin.dispose()
    eventually(leader.is_ready, "it to recover")
    return n_replicas
