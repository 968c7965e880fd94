"""Ingest as processes run it: tasks in a worker, the API as a server, many writers at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import orjson
import pytest

from services.ingest import main
from services.kernel.settings import Settings, get_settings
from tests.integration.ingest.conftest import Register
from tests.reported_port import reported_port

pytestmark = pytest.mark.integration
RATE = "request_rate_rps"


def body(workload: str, samples: list[list[float]]) -> bytes:
    entry = {"namespace": "shop", "workload": workload, "indicator": RATE, "samples": samples}
    return orjson.dumps({"observations": [entry]})


def environment(database_url: str, redis_url: str, **other: str) -> dict[str, str]:
    given = {"HARMONY_DATABASE_URL": database_url, "HARMONY_REDIS_URL": redis_url, **other}
    return {**os.environ, **given, "PYTHONUNBUFFERED": "1"}


def run_main(given: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "services.ingest.main"]
    return subprocess.Popen(
        command, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_server_serves_until_it_is_stopped(
    database_url: str, redis_url: str, register: Register
) -> None:
    register()
    process = run_main(environment(database_url, redis_url, HARMONY_INGEST_PORT="0"))
    try:
        url = f"http://127.0.0.1:{reported_port(process, 'ingest')}"
        ready = httpx.get(f"{url}/readyz", trust_env=False, timeout=60)
        assert ready.json() == {"status": "ready"}
        samples = [[time.time(), 1.0]]
        answer = httpx.post(
            f"{url}/v1/observations",
            content=body("w0", samples),
            headers={"Content-Type": "application/json"},
            trust_env=False,
        )
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    assert "Traceback" not in output, output


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HARMONY_INGEST_PORT", "taken", "cannot listen there"),
        ("HARMONY_DATABASE_URL", "", "HARMONY_DATABASE_URL is empty"),
        ("HARMONY_DATABASE_URL", "mysql://x", "must be a Postgres URL"),
        ("HARMONY_LATE_S", "soon", "HARMONY_LATE_S='soon'"),
        ("HARMONY_HOST", "0.0.0.0", "HARMONY_PUSH_TOKEN is not set"),
        ("HARMONY_PROMETHEUS_URL", "file:///x", "HARMONY_PROMETHEUS_URL='file:///x'"),
        ("HARMONY_REMOTE_WRITE_RULES", "rules: 3", "HARMONY_REMOTE_WRITE_RULES: rules"),
    ],
)
def test_wrong_settings_are_one_line_and_exit_2(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv("HARMONY_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("HARMONY_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("HARMONY_INGEST_PORT", "0")
    monkeypatch.setattr(main, "configure_logging", lambda level, log_format: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv(name, port if value == "taken" else value)
        get_settings.cache_clear()
        try:
            assert main.main() == 2
        finally:
            get_settings.cache_clear()
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
