"""A worker's metrics are there from its start, also while the broker is away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.integration


def test_a_worker_tells_its_version(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {
        **os.environ,
        "HARMONY_DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "HARMONY_REDIS_URL": "redis://127.0.0.1:1/0",
        "HARMONY_WORKER_METRICS_PORT": str(port),
    }
    command = [sys.executable, "-m", "services.cli", "worker", "--queues", "ingest"]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 40
        text = ""
        while not text and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            except httpx.TransportError:
                time.sleep(0.1)  # another process's start cannot be awaited otherwise
        assert "\nharmony_build_info{version=" in text
    finally:
        process.kill()
        process.wait(10)
        log.close()
