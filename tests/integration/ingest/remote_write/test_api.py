"""A real Prometheus scrapes an exporter, aggregates by rules, and writes the result to ingest.

Once in each version of the protocol; 2.0 where the Prometheus that is installed sends it (3.0 on).
"""

from __future__ import annotations

import re
import socket
import subprocess
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
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.kernel.clock import SystemClock
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role, create_key
from services.kernel.settings import Settings
from tests.contract.ingest.prometheus_world import require_prometheus, running_prometheus
from tests.integration.ingest.conftest import Register

pytestmark = pytest.mark.integration
PATIENCE_S = 60
TOKENS = "output_tokens_per_s"
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
    authorization: {{credentials: {key}}}{message}
    write_relabel_configs:
      - {{source_labels: [__name__], regex: "harmony:indicator", action: keep}}
    queue_config: {{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 200ms}}
"""


MESSAGES = {1: "prometheus.WriteRequest", 2: "io.prometheus.write.v2.Request"}
WRITTEN = "x-prometheus-remote-write-{}-written"


class Gate:
    """Lets requests through, or answers 503 like a proxy before a server that is away.

    Attributes:
        answered: Headers of each request that was let through, those of its answer, its status.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.is_shut = False
        self.n_turned_away = 0
        self.answered: list[tuple[Headers, Headers, int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.is_shut:
            self.n_turned_away += 1
            await Response(status_code=503)(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = Headers(raw=message["headers"])
                self.answered.append((Headers(scope=scope), answer, message["status"]))
            await send(message)

        await self.app(scope, receive, noted)


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


def message_of(version: int) -> str:
    """The line of the configuration that asks for a version; skips where it is not known."""
    if version == 1:
        return ""
    binary, _ = require_prometheus()
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)", shown.stdout + shown.stderr)
    if found is None or int(found[1]) < 3:
        pytest.skip("the prometheus on PATH is older than 3.0 and sends version 1 only")
    return f"\n    protobuf_message: {MESSAGES[version]}"


@pytest.mark.parametrize("version", [1, 2])
def test_a_real_prometheus_writes_retries_and_drops(
    database: Engine,
    settings: Settings,
    sender: RecordingSender,
    register: Register,
    tmp_path: Path,
    version: int,
) -> None:
    message = message_of(version)
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
        places["message"] = message
        with running_prometheus(tmp_path, CONFIGURATION.format(**places)) as url:
            _writes(database, pods)
            _drops_what_is_refused(url)
            _sends_again(url, database, gate)
            _answers_say_what_was_written(database, gate, version)
            _tells_of_an_end(database, pods)
    assert stored(database, "not_in_the_spec") == []
    log = (tmp_path / "prometheus.log").read_text()
    assert "statistics indicate" not in log  # not for ends of series either


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


def _answers_say_what_was_written(database: Engine, gate: Gate, version: int) -> None:
    """A sender of version 2.0 takes an answer without these for one that does not know it."""
    for request, answer, status in gate.answered:
        assert MESSAGES[version] in request["content-type"] or version == 1
        assert request["x-prometheus-remote-write-version"].startswith(("0.1", "2.0")[version - 1])
        assert status in {204, 400}
        assert answer[WRITTEN.format("histograms")] == answer[WRITTEN.format("exemplars")] == "0"

    def is_told() -> bool:
        n_told = sum(int(answer[WRITTEN.format("samples")]) for _, answer, _ in gate.answered)
        return n_told == sum(len(stored(database, name)) for name in ("request_rate_rps", TOKENS))

    eventually(is_told, "as many samples as the answers told")


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
