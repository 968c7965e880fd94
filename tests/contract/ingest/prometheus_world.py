"""One small world of metrics, served by a real Prometheus and by a fake source alike.

Scrapes every 15 s, 5 s after the full minute and so on, from two hours before `T0` to four hours
after; none from 30 to 50 minutes after.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from services.ingest.series.samples import SECOND_US
from services.ingest.series.source import (
    BAD_QUERY,
    SEVERAL_SERIES,
    LabelledPoints,
    Points,
    RangeQuery,
    SourceError,
)

T0 = datetime(2026, 1, 5, tzinfo=UTC)
T0_S = int(T0.timestamp())
SCRAPE_S = 15
LOOKBACK_S = 300
_LISTENING = re.compile(r'msg="Listening on".* address=(127\.0\.0\.1:\d+)\n')
_BY_POD = re.compile(r"sum by \(pod\) \(last_over_time\((\w+)\[60s\]\)\)")
SCRAPES = tuple(
    at_s
    for at_s in range(T0_S - 7200 + 5, T0_S + 4 * 3600, SCRAPE_S)
    if not T0_S + 1800 <= at_s < T0_S + 3000
)


def load_a(at_s: int) -> float:
    return 10.0 + (at_s // SCRAPE_S) % 4


def load_b(at_s: int) -> float:
    return 20.0


def tokens(at_s: int) -> float:
    """40 per second, restarting from 0 twenty minutes after T0."""
    restarted_s = T0_S + 1200
    return 40.0 * (at_s - (T0_S - 7200) if at_s < restarted_s else at_s - restarted_s)


def open_metrics() -> str:
    lines = ["# TYPE load gauge"]
    for pod, value in (("a", load_a), ("b", load_b)):
        lines += [f'load{{pod="{pod}"}} {value(at_s)} {at_s}' for at_s in SCRAPES]
    lines.append("# TYPE tokens counter")
    lines += [f'tokens_total{{pod="a"}} {tokens(at_s)} {at_s}' for at_s in SCRAPES]
    lines.append("# TYPE broken gauge")
    lines += [f"broken NaN {at_s}" for at_s in SCRAPES]
    return "\n".join([*lines, "# EOF", ""])


class FakeSource:
    """The world from memory."""

    name = "prometheus"

    def __init__(
        self,
        expressions: dict[str, Callable[[int], float]] | None = None,
        by_pod: dict[str, dict[str, Callable[[int], float]]] | None = None,
    ) -> None:
        self.expressions = expressions or {
            "sum(load)": lambda at_s: load_a(at_s) + load_b(at_s),
            "sum(tokens_total)": tokens,
            "broken": lambda at_s: float("nan"),
        }
        self.by_pod = by_pod or {"load": {"a": load_a, "b": load_b}}
        self.asked: list[RangeQuery] = []
        self.error: SourceError | None = None

    def fetch(self, query: RangeQuery) -> Points:
        self.asked.append(query)
        if self.error is not None:
            raise self.error
        if query.expression == "load":
            raise SourceError(SEVERAL_SERIES, "query 'load' gives 2 series: aggregate, sum(...)")
        if query.expression.count("(") != query.expression.count(")"):
            raise SourceError(BAD_QUERY, "unclosed left parenthesis")
        return self._evaluated(query, self.expressions.get(query.expression))

    def fetch_series(self, query: RangeQuery) -> list[LabelledPoints]:
        self.asked.append(query)
        if self.error is not None:
            raise self.error
        matched = _BY_POD.fullmatch(query.expression)
        series = self.by_pod.get(query.expression if matched is None else matched[1], {})
        found = {pod: self._evaluated(query, value) for pod, value in series.items()}
        return [LabelledPoints({"pod": pod}, own) for pod, own in found.items() if len(own.at_us)]

    @staticmethod
    def _evaluated(query: RangeQuery, evaluate: Callable[[int], float] | None) -> Points:
        found = []
        at_s = int(query.start_at.timestamp())
        scrapes = np.array(SCRAPES)
        while evaluate is not None and at_s <= query.end_at.timestamp():
            last = int(np.searchsorted(scrapes, at_s, side="right")) - 1
            if last >= 0 and at_s - SCRAPES[last] < (query.lookback_s or LOOKBACK_S):
                found.append((at_s * SECOND_US, evaluate(SCRAPES[last])))
            at_s += query.resolution_s
        return Points(
            np.array([at_us for at_us, _ in found], dtype=np.int64),
            np.array([value for _, value in found], dtype=np.float64),
        )

    def close(self) -> None:
        pass


def require_prometheus() -> tuple[str, str]:
    """Paths of prometheus and promtool; skips where absent, except in CI."""
    found = shutil.which("prometheus"), shutil.which("promtool")
    if found[0] and found[1]:
        return found[0], found[1]
    reason = "no `prometheus` and `promtool` on PATH (Debian: apt-get install prometheus)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def prometheus_server(folder: Path, world: str = "") -> Iterator[str]:
    """URL of a real Prometheus that holds the world, or another one in OpenMetrics."""
    _, tool = require_prometheus()
    metrics = folder / "world.om"
    metrics.write_text(world or open_metrics())
    create = [tool, "tsdb", "create-blocks-from", "openmetrics", str(metrics), str(folder / "data")]
    subprocess.run(create, check=True, capture_output=True)
    with running_prometheus(folder, "global: {}\n") as url:
        yield url


@contextmanager
def running_prometheus(folder: Path, configuration: str, *flags: str) -> Iterator[str]:
    """URL of a real Prometheus with this configuration; its data are in `folder/data`."""
    server, _ = require_prometheus()
    config = folder / "prometheus.yml"
    config.write_text(configuration)
    command = [
        server,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",
        "--web.listen-address=127.0.0.1:0",
        *flags,
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield _url_once_ready(process, folder / "prometheus.log")
    finally:
        process.terminate()
        process.wait(10)


def _url_once_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until it has logged the port that it took, and until it answers there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := _LISTENING.search(log.read_text()):
            url = f"http://{found[1]}"
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                return url
        time.sleep(0.05)  # another process's start cannot be awaited otherwise
    raise AssertionError(f"prometheus did not start: {log.read_text()[-2000:]}")
