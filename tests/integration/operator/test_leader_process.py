"""Several operators as processes of their own: killed, stopped, and without database or API."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import create_engine, text

from services.kernel.clock import ReplayClock
from services.kernel.db.session import sqlalchemy_url
from tests.integration.operator.conftest import Bench
from tests.integration.operator.test_process import eventually, notify

pytestmark = pytest.mark.integration

DURATION_S, DEADLINE_S, RETRY_S = 4, 2.5, 0.3


@dataclass
class Operator:
    """A running operator with its metrics port."""

    process: subprocess.Popen[bytes]
    port: int

    def probe(self, path: str) -> tuple[int, str]:
        """Status and text of a path; status 0 where nobody answers."""
        try:
            found = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)
        except httpx.HTTPError:
            return 0, ""
        return found.status_code, found.text

    def leads(self) -> bool:
        return "\nharmony_leader 1.0\n" in self.probe("/metrics")[1]

    def is_ready(self) -> bool:
        return self.probe("/readyz")[0] == 200


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def operators(bench: Bench, redis_url: str, tmp_path: Path) -> Iterator[list[Operator]]:
    """Two operators that stand for the same Lease."""
    ReplayClock(redis.Redis.from_url(redis_url)).set(bench.clock.now())
    env = os.environ | {
        "HARMONY_DATABASE_URL": bench.deps.settings.database_url,
        "HARMONY_REDIS_URL": redis_url,
        "HARMONY_KUBE_URL": bench.lab.url,
        "HARMONY_CLOCK": "replay",
        "HARMONY_RECONCILE_INTERVAL_S": "1",
        "HARMONY_LEADER_ELECTION": "on",
        "HARMONY_LEASE_NAMESPACE": bench.lab.namespace,
        "HARMONY_LEASE_DURATION_S": str(DURATION_S),
        "HARMONY_LEASE_RENEW_DEADLINE_S": str(DEADLINE_S),
        "HARMONY_LEASE_RETRY_S": str(RETRY_S),
    }
    command = [sys.executable, "-m", "services.operator.main"]
    with ExitStack() as stack:
        found = []
        for n in range(2):
            port = free_port()
            log = stack.enter_context((tmp_path / f"{n}.log").open("wb"))
            given = env | {"HARMONY_OPERATOR_METRICS_PORT": str(port)}
            found.append(Operator(subprocess.Popen(command, env=given, stderr=log), port))
        try:
            yield found
        finally:
            for operator in found:
                operator.process.kill()
                operator.process.wait(5)
            for n in range(2):
                print((tmp_path / f"{n}.log").read_text()[-2000:])


def leader_and_standby(operators: list[Operator]) -> tuple[Operator, Operator]:
    eventually(lambda: any(o.leads() for o in operators), "a leader")
    eventually(lambda: all(o.is_ready() for o in operators), "both to be ready")
    leader, standby = sorted(operators, key=lambda o: not o.leads())
    assert not standby.leads()
    return leader, standby


def test_a_killed_leader_is_replaced_and_nothing_is_lost_or_done_twice(
    bench: Bench, operators: list[Operator]
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    leader, standby = leader_and_standby(operators)
    eventually(lambda: bench.rows("workloads"), "the registration")
    first = bench.decide("llama", 5)
    notify(bench, "harmony_decisions")
    eventually(lambda: len(bench.results()) == 1, "the first action")

    second = bench.decide("llama", 7)
    leader.process.kill()
    killed_s = time.monotonic()
    eventually(standby.leads, "the other to lead")
    assert time.monotonic() - killed_s < DURATION_S + 3
    eventually(lambda: len(bench.results()) == 2, "the second action")
    assert bench.results() == [(first, 1, "applied"), (second, 1, "applied")]
    assert bench.lab.replicas("llama") == 7


def test_a_stopped_leader_hands_over_at_once(bench: Bench, operators: list[Operator]) -> None:
    leader, standby = leader_and_standby(operators)
    leader.process.send_signal(signal.SIGTERM)
    stopped_s = time.monotonic()
    eventually(standby.leads, "the other to lead")
    assert time.monotonic() - stopped_s < DURATION_S - RETRY_S, "it need not wait for the end"
    assert leader.process.wait(8) == 0


def test_a_leader_without_database_holds_says_so_and_recovers(
    bench: Bench, operators: list[Operator], server_urls: tuple[str, str]
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    leader, _ = leader_and_standby(operators)
    eventually(lambda: bench.rows("workloads"), "the registration")
    decision = bench.decide("llama", 5, decided_at=bench.clock.now())
    name = bench.engine.url.database
    bench.engine.dispose()
    admin = create_engine(sqlalchemy_url(server_urls[0]), isolation_level="AUTOCOMMIT")
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
    n_before = bench.lab.replicas("llama")
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    admin.dispose()
    eventually(leader.is_ready, "it to recover")
    eventually(lambda: bench.results() == [(decision, 1, "applied")], "the action")
    assert (n_before, bench.lab.replicas("llama")) in ((2, 5), (5, 5))


def test_without_api_server_nobody_leads_and_one_does_again(
    bench: Bench, operators: list[Operator]
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    leader_and_standby(operators)
    eventually(lambda: bench.rows("workloads"), "the registration")
    bench.lab.fault(kind="unavailable", times=1_000_000)
    eventually(lambda: not any(o.leads() for o in operators), "nobody to lead")
    decision = bench.decide("llama", 5)
    eventually(lambda: not any(o.is_ready() for o in operators), "nobody to be ready")
    assert all(o.process.poll() is None for o in operators)
    assert bench.results() == []
    bench.lab.http.delete("/lab/faults")
    eventually(lambda: bench.results() == [(decision, 1, "applied")], "the action")
    assert sum(o.leads() for o in operators) == 1
