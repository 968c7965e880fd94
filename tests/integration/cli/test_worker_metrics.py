"""A worker's metrics are there from its start, also while the broker is away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.reported_port import reported_port

pytestmark = pytest.mark.integration


def test_a_worker_tells_its_version(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "HARMONY_DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "HARMONY_REDIS_URL": "redis://127.0.0.1:1/0",
        "HARMONY_WORKER_METRICS_PORT": "0",
    }
    command = [sys.executable, "-m", "services.cli", "worker", "--queues", "ingest"]
    process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{reported_port(process, 'worker metrics')}/metrics"
        assert "\nharmony_build_info{version=" in httpx.get(url, trust_env=False, timeout=60).text
    finally:
        process.kill()
        process.communicate(timeout=10)
