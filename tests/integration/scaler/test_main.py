"""The scaler as its own process: starts, serves, says how it is, and ends in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from services.kernel.clock import SystemClock
from services.kernel.settings import Settings
from services.scaler.proto.externalscaler_pb2_grpc import ExternalScalerStub
from services.scaler.server import SERVICE
from tests.integration.scaler.conftest import PATIENCE_S, Caller, Rows
from tests.reported_port import reported_port

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-m", "services.scaler.main"]
SERVING, NOT_SERVING = 1, 2


def health(channel: grpc.Channel, service: str) -> int:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check", StringValue.SerializeToString, Int32Value.FromString
    )
    return int(check(StringValue(value=service), timeout=PATIENCE_S, wait_for_ready=True).value)


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    given = {"HARMONY_DATABASE_URL": settings.database_url, "HARMONY_HOST": settings.host}
    return inherited | given | changes


class Started:
    """A process with its ports and its log."""

    def __init__(self, settings: Settings, log: Path) -> None:
        env = environment(settings, HARMONY_SCALER_PORT="0", HARMONY_SCALER_METRICS_PORT="0")
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                COMMAND, env=env, stdout=subprocess.PIPE, stderr=stream, text=True
            )
        self.metrics_port = reported_port(self.process, "scaler metrics")
        self.port = reported_port(self.process, "scaler")

    def end(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def started(settings: Settings, tmp_path: Path) -> Iterator[Started]:
    started = Started(settings, tmp_path / "scaler.log")
    yield started
    started.end()
    print(started.log.read_text()[-3000:])


def test_the_whole_process(started: Started, rows: Rows) -> None:
    clock = SystemClock()
    rows.clock.advance((clock.now() - rows.clock.now()).total_seconds())
    rows.decide(rows.register(), 7)
    with grpc.insecure_channel(f"127.0.0.1:{started.port}") as channel:
        assert health(channel, "") == SERVING
        caller = Caller(ExternalScalerStub(channel), channel)
        assert caller.count() == 7
        stream = caller.stream()
        assert next(stream).result is True
        assert health(channel, SERVICE) == SERVING
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            health(channel, "queue")
        url = f"http://127.0.0.1:{started.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
            text = response.read().decode()
        assert "\nharmony_build_info{version=" in text
        assert (
            'harmony_advised_replicas{cluster="default",namespace="serving",workload="llama"} 7.0'
            in text
        )
        assert 'harmony_scaler_requests_total{code="OK",method="GetMetrics"} 1.0' in text
        began = time.monotonic()
        started.process.send_signal(signal.SIGTERM)
        assert list(stream) == [], "the stream ends in order"
        assert started.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - began < PATIENCE_S / 2
    assert "Traceback" not in started.log.read_text()


def test_metrics_are_served_where_the_host_says_and_nowhere_else(
    settings: Settings, tmp_path: Path
) -> None:
    started = Started(settings.model_copy(update={"host": "127.0.0.2"}), tmp_path / "scaler.log")
    try:
        url = f"http://127.0.0.2:{started.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
            assert response.status == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", started.metrics_port))
    finally:
        started.end()


def test_a_missing_database_url_is_one_line_and_exit_2(settings: Settings) -> None:
    env = environment(settings, HARMONY_DATABASE_URL="")
    done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "HARMONY_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_database_it_serves_and_says_so(settings: Settings, tmp_path: Path) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    started = Started(away, tmp_path / "scaler.log")
    try:
        with grpc.insecure_channel(f"127.0.0.1:{started.port}") as channel:
            assert health(channel, "") == SERVING
            assert health(channel, SERVICE) == NOT_SERVING
            with pytest.raises(grpc.RpcError) as caught:
                Caller(ExternalScalerStub(channel), channel).count()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "database" in caught.value.details()
            assert "127.0.0.1" not in caught.value.details(), "callers need not know where"
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0
        assert "Connection refused" in started.log.read_text()
    finally:
        started.end()
