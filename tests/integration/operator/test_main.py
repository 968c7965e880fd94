"""The operator as its own process: kopf, the loop, notifications, a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import text

from services.kernel.clock import ReplayClock
from services.kernel.db.session import unit_of_work
from services.operator.resource.definitions import DEFINITIONS, to_crd
from tests.integration.operator.conftest import Bench
from tests.reported_port import reported_port

pytestmark = pytest.mark.integration

INTERVAL_S = 120.0
"""So long that only a notification or a watch event can explain a pass within a test's patience."""


def eventually(is_done: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@pytest.fixture
def operator(bench: Bench, redis_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running operator whose clock is the replay's."""
    ReplayClock(redis.Redis.from_url(redis_url)).set(bench.clock.now())
    env = os.environ | {
        "HARMONY_DATABASE_URL": bench.deps.settings.database_url,
        "HARMONY_REDIS_URL": redis_url,
        "HARMONY_KUBE_URL": bench.lab.url,
        "HARMONY_CLOCK": "replay",
        "HARMONY_RECONCILE_INTERVAL_S": str(INTERVAL_S),
        "HARMONY_OPERATOR_METRICS_PORT": "0",
    }
    log = tmp_path / "operator.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.operator.main"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=60)
            print(log.read_text()[-3000:])


def notify(bench: Bench, channel: str) -> None:
    with unit_of_work(bench.engine) as work:
        work.connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})


def test_the_whole_process(bench: Bench, operator: subprocess.Popen[str]) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    eventually(lambda: bench.rows("workloads"), "the registration")
    decision = bench.decide("llama", 5)
    began = time.monotonic()
    notify(bench, "harmony_decisions")
    eventually(bench.results, "the action")
    assert time.monotonic() - began < INTERVAL_S / 4
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.replicas("llama") == 5

    bench.lab.change("llama", {"maxReplicas": 14})
    eventually(lambda: bench.rows("workloads")[0]["spec"]["max_replicas"] == 14, "the change")
    bench.lab.delete_autoscaler("llama")
    eventually(lambda: not bench.rows("workloads")[0]["is_active"], "the removal")
    assert bench.lab.replicas("llama") == 5

    operator.send_signal(signal.SIGTERM)
    assert operator.wait(INTERVAL_S / 4) == 0


@pytest.mark.slow
def test_the_process_waits_for_its_custom_resource_and_for_lost_notifications(
    bench: Bench, operator: subprocess.Popen[str]
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    eventually(lambda: bench.rows("workloads"), "the registration")
    with unit_of_work(bench.engine) as work:
        work.connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    decision = bench.decide("llama", 5)
    eventually(bench.results, "the pass after the connection was made again")
    assert bench.results() == [(decision, 1, "applied")]
    assert operator.poll() is None


def test_a_missing_database_url_is_one_line_and_exit_2() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    command = [sys.executable, "-m", "services.operator.main"]
    done = subprocess.run(
        command,
        env=env | {"HARMONY_KUBE_URL": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "HARMONY_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_process_outlives_its_custom_resource_definition(
    bench: Bench, operator: subprocess.Popen[str]
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    eventually(lambda: bench.rows("workloads"), "the registration")
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    (name,) = [f"{d.plural}.scaling.harmony.dev" for d in DEFINITIONS if d.kind == "GPUAutoscaler"]
    assert bench.lab.http.delete(f"{crds}/{name}").status_code == 200
    notify(bench, "harmony_tick")
    url = f"http://127.0.0.1:{reported_port(operator, 'operator metrics')}/metrics"
    holding = '\nharmony_holding{reason="kube"} 1.0\n'
    eventually(lambda: holding in httpx.get(url, timeout=30).text, "a pass that cannot read it")
    assert operator.poll() is None
    assert bench.rows("workloads")[0]["is_active"], "unreadable is not gone"
    for definition in DEFINITIONS:
        bench.lab.http.post(crds, json=to_crd(definition))
    bench.lab.autoscale("llama", maxReplicas=15)
    eventually(lambda: bench.rows("workloads")[0]["spec"]["max_replicas"] == 15, "the new one")
    operator.send_signal(signal.SIGTERM)
    assert operator.wait(INTERVAL_S / 4) == 0
