"""One short demo for all tests that look at what it leaves, and a Prometheus that scrapes it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.kernel.listening import find_address
from services.platform.embedded_servers import default_home
from services.platform.platform import WORKERS
from tests.contract.ingest.prometheus_world import running_prometheus
from tests.e2e.collector import Span, collector

HARMONY = [sys.executable, "-m", "services.cli"]
RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules" / "harmony.yml"
N_HOURS, N_WORKLOADS = 6, 3
"""A rate needs what grows between two scrapes: two hours are over before an idle machine's second
one, and then dashboards show nothing of them."""
_PATIENCE_S = 400
_SERVERS = {
    "admin": "admin",
    "ingest": "ingest",
    "operator": "operator metrics",
    **dict.fromkeys(WORKERS, "worker metrics"),
    "beat": "beat metrics",
}
"""Processes of the demo that serve metrics, and under which name; beat, which has those of
workloads, is the last."""
_BEFORE_THE_REPLAY = {name: _SERVERS[name] for name in (*WORKERS, "beat")}
"""Those that are there seconds before the replay: what they count in it has to be seen from its
beginning, and a replay takes few seconds."""
_SCRAPES = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: harmony
    honor_labels: true
    file_sd_configs: [{{files: ["{targets}"], refresh_interval: 1s}}]
  - job_name: harmony-workloads
    honor_labels: true
    metrics_path: /metrics/workloads
    static_configs: [{{targets: {of_workloads}}}]
"""


@dataclass
class ShortDemo:
    """A demo that has replayed its hours and serves until `end`.

    Attributes:
        home: Its data folder.
        process: It.
        output: What it prints.
        report: Its report.
        figures: Its scoreboard as JSON.
        prometheus_url: A Prometheus that scrapes all its processes; empty where there is none.
        spans: What its processes have sent to an OpenTelemetry collector, as it arrives.
    """

    home: Path
    process: subprocess.Popen[bytes]
    output: Path
    report: Path
    figures: Path
    prometheus_url: str = ""
    spans: list[Span] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def database_url(self) -> str:
        """Its database, while it serves."""
        found: str = json.loads((self.home / "demo" / "running.json").read_text())["database_url"]
        return found

    def urls(self, servers: Mapping[str, str] = _SERVERS) -> list[str]:
        """Where its processes with metrics listen: those that have started."""
        logs = self.home / "demo" / "logs"
        files = [(logs / f"{process}.log", server) for process, server in servers.items()]
        found = [find_address(f.read_text(), server) for f, server in files if f.exists()]
        return [url for url in found if url is not None]

    def log_lines(self, process: str) -> list[dict[str, Any]]:
        """Structured lines that a process has logged so far."""
        text = (self.home / "demo" / "logs" / f"{process}.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def end(self) -> int:
        """End it as Ctrl-C does; its status."""
        self._stack.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        return int(self.process.returncode)


@pytest.fixture(scope="session")
def short_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShortDemo]:
    """Some hours of three services, replayed; started once for all tests."""
    folder = tmp_path_factory.mktemp("demo")
    home = folder if os.geteuid() != 0 else default_home() / f"e2e-{uuid.uuid4().hex[:8]}"
    spans: list[Span] = []
    with collector(spans) as collector_url:
        yield from _running(_start(home, folder, collector_url), folder, spans)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Function) -> None:
    """After the last test that looks at the demo, end it: it would work beside all that follow."""
    looking = [each for each in item.session.items if "short_demo" in _fixtures(each)]
    if looking and item is looking[-1] and "short_demo" in item.funcargs:
        item.funcargs["short_demo"].end()


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", []))


def _running(demo: ShortDemo, folder: Path, spans: list[Span]) -> Iterator[ShortDemo]:
    home, demo.spans = demo.home, spans
    try:
        running = home / "demo" / "running.json"
        _eventually(demo, running.exists, "the platform's start")
        if shutil.which("prometheus") or os.environ.get("CI") == "true":
            early = _BEFORE_THE_REPLAY
            _eventually(demo, lambda: len(demo.urls(early)) == len(early), "the workers' start")
            scraped = folder / "targets.json"
            _write_targets(scraped, demo.urls(early))
            found = _scraping(folder, scraped, demo.urls(early)[-1])
            demo.prometheus_url = demo._stack.enter_context(found)
            _eventually(demo, lambda: len(demo.urls()) == len(_SERVERS), "every server's start")
            _write_targets(scraped, demo.urls())
        _eventually(demo, lambda: "Ctrl-C ends" in demo.output.read_text(), "the end of the replay")
        yield demo
    finally:
        demo.end()
        if home != folder:
            shutil.rmtree(home, ignore_errors=True)


def _start(home: Path, folder: Path, collector_url: str) -> ShortDemo:
    report, figures, output = folder / "report.html", folder / "figures.json", folder / "out.txt"
    options = ["--generated", "--quick", "--hours", str(N_HOURS), "--workloads", str(N_WORKLOADS)]
    options += ["--port", "0", "--report", str(report), "--json", str(figures)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    given = {
        "HARMONY_HOME": str(home),
        "HARMONY_OPERATOR_METRICS_PORT": "0",
        "HARMONY_WORKER_METRICS_PORT": "0",
        "HARMONY_LOG_LEVEL": "INFO",
        "HARMONY_OTEL_ENDPOINT": collector_url,
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "160",
    }
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [*HARMONY, "demo", *options], env=kept | given, stdout=stream, stderr=subprocess.STDOUT
        )
    return ShortDemo(home, process, output, report, figures)


def _scraping(folder: Path, targets: Path, beat: str):  # type: ignore[no-untyped-def]  # a context manager
    given = {"targets": targets, "of_workloads": json.dumps([_address(beat)])}
    return running_prometheus(folder, _SCRAPES.format(rules=RULES, **given))


def _write_targets(file: Path, urls: list[str]) -> None:
    """What Prometheus scrapes from now on; it never reads half of the file."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps([{"targets": [_address(url) for url in urls]}]))
    new.replace(file)


def _address(url: str) -> str:
    return f"127.0.0.1:{urlsplit(url).port}"


def _eventually(demo: ShortDemo, ask: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not ask():
        assert demo.process.poll() is None, demo.output.read_text()
        assert time.monotonic() < deadline, f"never saw {what}: {demo.output.read_text()}"
        time.sleep(0.2)  # another process's work cannot be awaited otherwise
