"""A real Prometheus scrapes an exporter, aggregates by rules, and writes the result to ingest."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Response
from sqlalchemy import Engine, text
from starlette.types import ASGIApp, Receive, Scope, Send

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.kernel.clock import SystemClock
from services.kernel.jobs import RecordingSender
from services.kernel.security import Role, create_key
from services.kernel.settings import Settings
from tests.contract.ingest.prometheus_world import running_prometheus
from tests.integration.ingest.conftest import Register

pytestmark = pytest.mark.integration
PATIENCE_S = 20
RULES = """
groups:
  - name: indicators
    interval: 1s
    rules:
      - record: harmony:indicator
        expr: sum(load)
        labels: {namespace: shop, workload: w0, indicator: request_rate_rps}
      - record: harmony:indicator
        expr: sum(tokens_total)
        labels: {namespace: shop, workload: w0, indicator: output_tokens_per_s}
      - record: harmony:indicator
        expr: sum(load)
        labels: {namespace: shop, workload: w0, indicator: not_in_the_spec}
"""
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{prometheus: a}}}}
rule_files: ["{rules}"]
scrape_configs:
  - {{job_name: exporter, static_configs: [{{targets: ["{exporter}"]}}]}}
remote_write:
  - url: http://{ingest}/api/v1/write
    authorization: {{credentials: {key}}}
    write_relabel_configs:
      - {{source_labels: [__name__], regex: "harmony:indicator", action: keep}}
    queue_config: {{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 200ms}}
"""


class Gate:
    """Lets requests through, or answers 503 like a proxy before a server that is away."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.is_shut = False
        self.n_turned_away = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.is_shut:
            self.n_turned_away += 1
            await Response(status_code=503)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Address of a server of `app`."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def exporter(pods: dict[str, float]) -> FastAPI:
    """An application with two metrics per pod of `pods`."""
    app = FastAPI()

    @app.get("/metrics")
    def metrics() -> Response:
        lines = [f'load{{pod="{pod}"}} {value}' for pod, value in pods.items()]
        lines += [f'tokens_total{{pod="{pod}"}} {1000 * value}' for pod, value in pods.items()]
        return Response("\n".join([*lines, ""]), media_type="text/plain; version=0.0.4")

    return app


def eventually(ask: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ask():
        assert time.monotonic() < deadline, f"never saw {what}"
        time.sleep(0.1)  # another process's work cannot be awaited otherwise


def stored(database: Engine, name: str) -> list[tuple[float, float]]:
    statement = text(
        "SELECT extract(epoch FROM observed_at), value FROM observations "
        "WHERE indicator = :name ORDER BY 1"
    )
    with database.connect() as connection:
        rows = connection.execute(statement, {"name": name}).all()
    return [(float(at_s), value) for at_s, value in rows]


def sender_counts(url: str, name: str) -> float:
    """A counter of Prometheus's remote write, over all its labels."""
    lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def evaluations(url: str) -> list[float]:
    """When Prometheus itself has samples of the first rule."""
    asked = {"query": 'harmony:indicator{indicator="request_rate_rps"}[5m]'}
    answer = httpx.get(f"{url}/api/v1/query", params=asked, trust_env=False).json()
    (series,) = answer["data"]["result"]
    return [float(at_s) for at_s, _ in series["values"]]


def test_a_real_prometheus_writes_retries_and_drops(
    database: Engine,
    settings: Settings,
    sender: RecordingSender,
    register: Register,
    tmp_path: Path,
) -> None:
    register()
    clock = SystemClock()
    with database.begin() as connection:
        key = create_key(connection, "prometheus", Role.OPERATOR, clock.now()).token
    gate = Gate(make_app(IngestDeps(database, clock, sender, settings)))
    pods = {"a": 10.0, "b": 5.0}
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    with served(exporter(pods)) as scraped, served(gate) as ingest:
        places = {"rules": rules, "exporter": scraped, "ingest": ingest, "key": key}
        with running_prometheus(tmp_path, CONFIGURATION.format(**places)) as url:
            _writes(database, pods)
            _drops_what_is_refused(url)
            _sends_again(url, database, gate)
            _tells_of_an_end(database, pods)
    assert stored(database, "not_in_the_spec") == []


def _writes(database: Engine, pods: dict[str, float]) -> None:
    eventually(lambda: len(stored(database, "request_rate_rps")) >= 2, "a sample")
    assert stored(database, "request_rate_rps")[0][1] == 15.0
    assert stored(database, "output_tokens_per_s")[0][1] == 15000.0
    pods["b"] = 6.0
    eventually(lambda: stored(database, "request_rate_rps")[-1][1] == 16.0, "a new value")


def _drops_what_is_refused(url: str) -> None:
    """The third series of every request is no indicator: a fault, not to be sent again."""
    failed, retried = "samples_failed_total", "samples_retried_total"
    prefix = "prometheus_remote_storage_"
    assert sender_counts(url, prefix + failed) > 0
    assert sender_counts(url, prefix + retried) == 0


def _sends_again(url: str, database: Engine, gate: Gate) -> None:
    gate.is_shut = True
    before = len(stored(database, "request_rate_rps"))
    eventually(lambda: gate.n_turned_away > 3, "a request that is tried again")
    gate.is_shut = False
    eventually(lambda: len(stored(database, "request_rate_rps")) >= before + 3, "the backlog")
    arrived = {at_s for at_s, _ in stored(database, "request_rate_rps")}
    evaluated = {at_s for at_s in evaluations(url) if at_s <= max(arrived)}
    assert evaluated == arrived


def _tells_of_an_end(database: Engine, pods: dict[str, float]) -> None:
    """A staleness marker is a gap, not a value."""
    pods.clear()
    pause_s = 3.0

    def is_silent() -> bool:
        return time.time() - stored(database, "request_rate_rps")[-1][0] > pause_s

    eventually(is_silent, "an end of the samples")
    assert {value for _, value in stored(database, "request_rate_rps")} == {15.0, 16.0}
