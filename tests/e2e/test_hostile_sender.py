"""A sender that wants to fill memory or keep the process from answering finds neither.

Its figures are printed with `-s`. `HARMONY_HOSTILE_REQUESTS` is the number of requests, sent by
eight senders at a time:

    HARMONY_HOSTILE_REQUESTS=400 make test-slow ARGS='-s tests/e2e/test_hostile_sender.py'
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import cramjam
import httpx
import psutil
import pytest

from services.kernel.settings import Settings
from tests.reported_port import reported_port
from tests.unit.ingest.remote_requests import V1, V2, block, message_v1, packed, varint

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)]
N_REQUESTS = int(os.environ.get("HARMONY_HOSTILE_REQUESTS", "20"))
N_SENDERS = 8
MOST_MIB = 512
LONGEST_PROBE_S = 1.0
MARGIN = 3
"""The target is of a machine of its own: a probe may wait for other tests as well."""
TOKEN = "sesame"
PUSH, WRITE = "/v1/observations", "/api/v1/write"
JSON = {"Content-Type": "application/json"}
LIMITS = Settings()
Body = tuple[str, dict[str, str], bytes]


def _entry(samples: str, workload: str = "w0") -> str:
    return (
        f'{{"namespace":"shop","workload":"{workload}","indicator":"request_rate_rps",'
        f'"samples":{samples}}}'
    )


def _pushed(*entries: str) -> Body:
    return PUSH, JSON, ('{"observations":[' + ",".join(entries) + "]}").encode()


def _empty_series() -> Body:
    """366 kB that are 3.9 million series without a label or a sample."""
    return WRITE, V1, packed(block(1, b"") * 3_900_000)


def _empty_entries() -> Body:
    return _pushed(*[_entry("[]")] * 240_000)


def _samples() -> Body:
    """As many samples as one request may have, of many workloads that nobody knows."""
    n = 40_000
    each = LIMITS.push_max_samples // n
    points = "[" + ",".join(["[1767571200.5,41.25]"] * each) + "]"
    return _pushed(*[_entry(points, f"w{number}") for number in range(n)])


def _odd_samples() -> Body:
    """Samples that are read one by one, after a parse that takes NaN."""
    points = "[" + ",".join(['["2026-01-05T00:00:00Z",NaN]'] * 200_000) + "]"
    return _pushed(_entry(points))


def _nested() -> Body:
    return PUSH, JSON, b'{"observations":' + b"[" * 4_000_000


def _bomb() -> Body:
    """A block that says to hold 4 GiB."""
    return WRITE, V1, varint(2**32 - 1) + b"\0" * 64


def _labels() -> Body:
    """One series of as many labels as fit."""
    label = block(1, block(1, b"a") + block(2, b"b"))
    return WRITE, V1, packed(block(1, label * 700_000))


def _symbols() -> Body:
    return WRITE, V2, packed(block(4, b"") * 8_000_000)


def _long_words() -> Body:
    word = "x" * 250
    labels = {"__name__": "harmony:indicator", "namespace": word, "workload": word}
    series = [({**labels, "indicator": f"{word[:200]}{n}"}, [(1, 1.0)]) for n in range(8_000)]
    return WRITE, V1, packed(message_v1(*series))


def _not_snappy() -> Body:
    return WRITE, V1, bytes(cramjam.gzip.compress(b"\0" * 30_000_000))


BODIES: tuple[Callable[[], Body], ...] = (
    _empty_series,
    _empty_entries,
    _samples,
    _odd_samples,
    _nested,
    _bomb,
    _labels,
    _symbols,
    _long_words,
    _not_snappy,
)


@dataclass(slots=True)
class Watch:
    """Looks at a process from outside: its memory, and how long a probe takes."""

    url: str
    process: psutil.Process
    peak_mib: float = 0.0
    probes_s: list[float] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def memory(self) -> None:
        """Look at its memory until the end."""
        while not self.ended.wait(0.02):
            self.peak_mib = max(self.peak_mib, self.process.memory_info().rss / 2**20)

    def probes(self) -> None:
        """Probe it until the end."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60) as client:
            while not self.ended.wait(0.1):
                started = time.monotonic()
                assert client.get("/healthz").status_code == 200
                self.probes_s.append(time.monotonic() - started)


@pytest.fixture
def ingest(database_url: str, redis_url: str) -> Iterator[subprocess.Popen[str]]:
    given = {"HARMONY_DATABASE_URL": database_url, "HARMONY_REDIS_URL": redis_url}
    given |= {"HARMONY_PUSH_TOKEN": TOKEN, "HARMONY_INGEST_PORT": "0"}
    others = {"PYTHONUNBUFFERED": "1", "HARMONY_LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "services.ingest.main"]
    process = subprocess.Popen(
        command,
        env={**os.environ, **given, **others},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def _heads_without_end(port: int) -> list[socket.socket]:
    """Connections that begin a request and never finish it."""
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    for one in held:
        one.sendall(b"POST /v1/observations HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
    return held


def test_memory_and_probes_hold_under_a_hostile_sender(ingest: subprocess.Popen[str]) -> None:
    port = reported_port(ingest, "ingest")
    url = f"http://127.0.0.1:{port}"
    watch = Watch(url, psutil.Process(ingest.pid))
    bodies = [make() for make in BODIES]
    statuses: dict[str, Counter[int]] = {make.__name__: Counter() for make in BODIES}

    credential = {"Authorization": f"Bearer {TOKEN}"}

    def send(number: int) -> None:
        which = number % len(bodies)
        path, headers, content = bodies[which]
        with (
            suppress(httpx.WriteError, httpx.ReadError),
            httpx.Client(base_url=url, trust_env=False, timeout=300) as client,
        ):
            # a server may answer and close before it has read all
            answer = client.post(path, headers=headers | credential, content=content)
            statuses[BODIES[which].__name__][answer.status_code] += 1
            assert answer.status_code < 500 or "retry-after" in answer.headers

    held = _heads_without_end(port)
    watchers = [threading.Thread(target=one) for one in (watch.memory, watch.probes)]
    for thread in watchers:
        thread.start()
    try:
        with ThreadPoolExecutor(N_SENDERS) as senders:
            list(senders.map(send, range(N_REQUESTS)))
    finally:
        watch.ended.set()
        for thread in watchers:
            thread.join()
        for one in held:
            one.close()
    slowest_s = max(watch.probes_s)
    print(f"{N_REQUESTS} requests, {len(watch.probes_s)} probes: {watch.peak_mib:.0f} MiB at most,")
    print(
        f"/healthz within {slowest_s:.2f} s; answers { {k: dict(v) for k, v in statuses.items()} }"
    )
    assert ingest.poll() is None
    assert watch.peak_mib <= MOST_MIB
    assert slowest_s <= MARGIN * LONGEST_PROBE_S
