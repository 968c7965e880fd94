"""`harmony bench llm --serve`: what a user sees of a run, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.lab.bench.llm.traces.trace_file import write_requests
from tests.unit.lab.bench.llm.queue_engine import small_trace

pytestmark = pytest.mark.integration
PROGRAM = "tests.integration.lab.bench.llm.stand_in_command"
OPTIONS = ("--ttft", "2s", "--tpot", "100ms", "--startup", "30s", "--policies", "harmony")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command on a trace of fifteen minutes, a queue in the place of the engine."""
    trace = tmp_path / "mine.jsonl"
    write_requests(trace, small_trace(minutes=15).requests)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    own = {"HARMONY_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
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
        process.kill()
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
        one = client.get(f"/v1/decisions/{newest['id']}", headers=headers).json()
        assert "requests would miss" in one["explanation"]["summary"]
        client.post("/login", data={"key": key})
        page = client.get("/workloads/bench/llm").text
        assert "ttft" in page.lower()
    served.send_signal(signal.SIGINT)
    assert served.wait(timeout=60) in (0, 130)
