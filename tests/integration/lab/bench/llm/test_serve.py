"""`harmony bench llm --serve`: what a user sees of a run, and how it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.lab.bench.llm.traces.trace_file import write_requests
from services.platform.embedded_servers import default_home
from tests.unit.lab.bench.llm.queue_engine import small_trace

pytestmark = [pytest.mark.integration, pytest.mark.slow]
PROGRAM = "tests.integration.lab.bench.llm.stand_in_command"
OPTIONS = ("--ttft", "2s", "--tpot", "100ms", "--startup", "30s", "--policies", "harmony")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder that the embedded servers reach: as root they run as somebody else."""
    folder = tmp_path if os.geteuid() != 0 else default_home() / f"test-{uuid.uuid4().hex[:8]}"
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def served(home: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command on a trace of fifteen minutes, a queue in the place of the engine."""
    trace = tmp_path / "mine.jsonl"
    write_requests(trace, small_trace(minutes=15).requests)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    own = {"HARMONY_HOME": str(home), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", PROGRAM, "bench", "llm", "--trace", str(trace), *OPTIONS]
    process = subprocess.Popen(
        [*command, "--serve", "--port", "0"],
        env={**kept, **own, "HARMONY_INGEST_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def said(process: subprocess.Popen[str], pattern: str) -> str:
    """Read on until a line has it."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError("".join(seen))


@pytest.mark.timeout(600)
def test_a_run_is_watched_while_it_goes_and_read_afterwards(
    served: subprocess.Popen[str],
) -> None:
    url = said(served, r"API and console: (\S+)")
    key = said(served, r"admin key: +(\S+)")
    with httpx.Client(base_url=url, timeout=60.0, follow_redirects=True) as client:
        assert client.get("/healthz").status_code == 200
        assert "10 min" in said(served, r"(10 min: \d+ serve)")
        headers = {"Authorization": f"Bearer {key}"}
        told = client.get("/v1/workloads/bench/llm", headers=headers).json()
        assert told["namespace"] == "bench"
        kept = float(said(served, r"promised 99.0% of the requests, kept (\S+)%"))
        assert kept > 90
        decisions = client.get("/v1/decisions?workload=bench/llm", headers=headers).json()
        newest = decisions["items"][0]
        spec = client.get("/v1/workloads/bench/llm/spec", headers=headers).text
        assert '"ttft"' in spec
        assert '"tpot"' in spec
        client.post("/login", data={"key": key, "next": "/"}, headers={"Origin": url})
        page = client.get("/workloads/bench/llm", headers={"Accept": "text/html"}).text
        assert re.search(r"The promise:</strong> measured .* missed; believed ", page)
        page = client.get(f"/decisions/{newest['id']}", headers={"Accept": "text/html"}).text
        assert "of requests would wait longer than the objective allows, or fail" in page
    served.send_signal(signal.SIGINT)
    assert served.wait(timeout=60) in (0, 130)
