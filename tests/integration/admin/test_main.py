"""The admin service as a process: it serves, says what is wrong, and ends when told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text

from services.admin.main import main
from services.kernel.settings import get_settings
from tests.reported_port import reported_port

REPO = Path(__file__).parents[3]
pytestmark = pytest.mark.integration


def start(database_url: str, redis_url: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "HARMONY_DATABASE_URL": database_url,
        "HARMONY_REDIS_URL": redis_url,
        "HARMONY_PORT": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "services.admin.main"],
        cwd=REPO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_serves_with_the_key_that_it_prints_and_ends(database_url: str, redis_url: str) -> None:
    process = start(database_url, redis_url)
    assert process.stdout is not None
    line = process.stdout.readline()
    token = line.strip().rpartition(" ")[2]
    assert line.startswith("admin API key, shown this once: hk_")
    url = f"http://127.0.0.1:{reported_port(process, 'admin')}"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        assert client.get("/readyz").status_code == 200
        answer = client.get("/v1/workloads", headers={"Authorization": f"Bearer {token}"})
        assert answer.json() == {"items": [], "next_cursor": None}
        metrics = client.get("/metrics").text
        assert "harmony_http_requests_total" in metrics
        assert "\nharmony_build_info{version=" in metrics
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode in (0, -signal.SIGTERM)


def test_what_is_wrong_is_said_in_one_line(
    database: Engine,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails_with(**environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        assert main() == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return error

    monkeypatch.setattr("services.admin.main.configure_logging", lambda level, log_format: None)
    monkeypatch.setenv("HARMONY_REDIS_URL", redis_url)
    try:
        assert "HARMONY_STEP_S" in fails_with(HARMONY_STEP_S="0")
        monkeypatch.delenv("HARMONY_STEP_S")
        assert "HARMONY_DATABASE_URL" in fails_with(HARMONY_DATABASE_URL="mysql://x")
        public = fails_with(HARMONY_DATABASE_URL=database_url, HARMONY_HOST="0.0.0.0")
        assert "HARMONY_ADMIN_KEY_FILE is not set" in public
        monkeypatch.delenv("HARMONY_HOST")
        proxies = fails_with(HARMONY_TRUSTED_PROXIES="everyone", HARMONY_PORT="0")
        assert "HARMONY_TRUSTED_PROXIES='everyone'" in proxies
        monkeypatch.delenv("HARMONY_TRUSTED_PROXIES")
        away = "postgresql://u@127.0.0.1:1/x"
        assert "cannot be reached" in fails_with(HARMONY_DATABASE_URL=away)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            error = fails_with(HARMONY_DATABASE_URL=database_url, HARMONY_PORT=port)
            assert "HARMONY_PORT" in error
        with database.begin() as connection:
            connection.execute(text("DROP TABLE alembic_version"))
        assert "harmony migrate" in fails_with(HARMONY_PORT="0")
    finally:
        get_settings.cache_clear()
