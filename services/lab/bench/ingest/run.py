"""The measurement: the push API as a process of its own, requests over HTTP, real Postgres.

Counted is processor time, of the API's process and of Postgres with all of its own processes: what
else the machine does hardly changes it. The sender's is not counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import psutil
from sqlalchemy import Engine

from services.ingest.series.copy_encoding import (
    SeriesKey,
    encode_observations,
    key_columns,
)
from services.ingest.series.samples import make_samples
from services.kernel.clock import SystemClock, make_rng
from services.kernel.db.session import make_engine
from services.kernel.db.steps.blocks import HEADER, TRAILER
from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.lab.bench.ingest import repository
from services.lab.bench.ingest.bodies import Batch, Sender
from services.platform.platform import Platform, platform_servers, process_env, server_process

_COUNTED_ONLY = 1e6  # limits that count each request and refuse none
_CLIENTS = 2
_STEP_S = 60
_CLOSE = 1e-9  # sums of floats in another order


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Options of the measurement.

    Attributes:
        protocol: `push` or `remote-write`.
        n_series: Series of one request.
        n_samples: Samples of each of them.
        n_requests: Requests that are counted.
        n_workloads: Workloads, of eight indicators each, whose series take turns.
        seed: Of the values.
    """

    protocol: str = "push"
    n_series: int = 2000
    n_samples: int = 1
    n_requests: int = 200
    n_workloads: int = 2000
    seed: int = 7


@dataclass(slots=True)
class _IngestLoad:
    """Requests of changing series, each sample of a time of its own, as they were answered."""

    options: IngestOptions
    sender: Sender
    client: httpx.Client
    rejected: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    n_accepted: int = 0
    sent: list[Batch] = field(default_factory=list)

    def batches(self, n: int) -> Iterator[Batch]:
        """The next requests; they are made as they are sent, with times of now."""
        options, n_all = self.options, self.options.n_workloads * len(repository.INDICATORS)
        rng = make_rng(options.seed, f"ingest {len(self.sent)}")
        for _ in range(n):
            first = len(self.sent) * options.n_series
            series = np.unique((first + np.arange(options.n_series)) % n_all)
            now_ms = time.time_ns() // 1_000_000
            before_ms = int(self.sent[-1].at_ms[-1]) if self.sent else 0
            last_ms = max(now_ms, before_ms + options.n_samples)
            at_ms = np.arange(last_ms - options.n_samples + 1, last_ms + 1)
            value = rng.uniform(0.0, 900.0, (len(series), options.n_samples)).round(3)
            self.sent.append(Batch(series, at_ms, value))
            yield self.sent[-1]

    def send(self, n: int) -> None:
        """Send `n` requests, a few at a time."""
        with ThreadPoolExecutor(_CLIENTS) as pool:
            for _ in pool.map(self._one, self._bodies(n)):
                pass

    def _bodies(self, n: int) -> Iterator[bytes]:
        return map(self.sender.body, self.batches(n))

    def _one(self, body: bytes) -> None:
        answer = self.client.post(self.sender.path, content=body, headers=self.sender.headers)
        self.statuses[str(answer.status_code)] += 1
        if answer.status_code == 202:
            found = answer.json()
            self.n_accepted += found["accepted"]
            self.rejected.update({one["reason"]: one["count"] for one in found["rejected"]})
        elif answer.status_code in {204, 400}:
            self.n_accepted += int(answer.headers["X-Prometheus-Remote-Write-Samples-Written"])
            if answer.status_code == 400:
                self.rejected.update(
                    {
                        one["field"]: int(one["message"].split()[0])
                        for one in answer.json()["errors"]
                    }
                )
        else:
            raise Unavailable(
                f"{self.sender.path} answers {answer.status_code}: {answer.text[:200]}"
            )

    @property
    def total(self) -> repository.Total:
        """All that was sent."""
        n = sum(batch.value.size for batch in self.sent)
        return repository.Total(n, float(sum(batch.value.sum() for batch in self.sent)))


def run_ingest(
    options: IngestOptions, settings: Settings, name: str, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure ingest; returns the document of `--json`.

    Args:
        options: Sizes.
        settings: Of servers on this machine, which hold nothing yet.
        name: Name of the data folder.
        tell: Called with what is being done.

    Raises:
        Unavailable: Something does not start, or a request fails.
    """
    changes = {
        **{"port": 0, "ingest_port": 0, "step_s": _STEP_S, "log_level": "WARNING"},
        **{"address_rate_per_s": _COUNTED_ONLY, "address_rate_burst": int(_COUNTED_ONLY)},
    }
    with platform_servers(settings.model_copy(update=changes), name) as platform:
        engine = make_engine(platform.settings.database_url)
        with engine.begin() as connection:
            now = SystemClock().now()
            repository.register(connection, options.n_workloads, _STEP_S, now)
        env = process_env(platform.settings)
        platform.supervisor.start_all([server_process("ingest", env)])
        token = platform.settings.push_token
        headers = {"Authorization": f"Bearer {token.get_secret_value() if token else ''}"}
        with httpx.Client(base_url=platform.push_url, headers=headers, timeout=120) as client:
            load = _IngestLoad(options, Sender(options.protocol), client)
            tell("every series once")
            n_all = options.n_workloads * len(repository.INDICATORS)
            load.send(-(-n_all // options.n_series))
            before, started_s, n_before = _Cpu.now(platform), time.perf_counter(), load.n_accepted
            tell(f"{options.n_requests} requests")
            load.send(options.n_requests)
            wall_s = time.perf_counter() - started_s
        spent = _Cpu.now(platform).since(before)
        n = load.n_accepted - n_before
        tell("a bare COPY of the same rows")
        copy = _bare_copy(engine, load, platform)
        with engine.connect() as connection:
            found = repository.stored(connection)
    return _document(options, load, found) | {
        "cpu_s_per_million": spent.per_million(n),
        "per_s_and_core": n / (spent.python_s + spent.postgres_s),
        "per_s": n / wall_s,
        "bare_copy": {
            "cpu_s_per_million": copy.per_million(load.total.n),
            "per_s_and_core": load.total.n / (copy.python_s + copy.postgres_s),
        },
    }


def _document(options: IngestOptions, load: _IngestLoad, found: repository.Total) -> dict[str, Any]:
    sent = load.total
    return {
        "protocol": options.protocol,
        "series_per_request": options.n_series,
        "samples_per_series": options.n_samples,
        "requests": options.n_requests,
        "workloads": options.n_workloads,
        "statuses": dict(load.statuses),
        "sent": sent.n,
        "accepted": load.n_accepted,
        "rejected": dict(load.rejected),
        "stored": found.n,
        "duplicates": load.n_accepted - found.n,
        "is_stored_as_sent": found.n == sent.n
        and abs(found.value - sent.value) <= _CLOSE * max(1.0, abs(sent.value)),
    }


@dataclass(frozen=True, slots=True)
class _Cpu:
    """Processor time so far."""

    python_s: float
    postgres_s: float

    @classmethod
    def now(cls, platform: Platform) -> _Cpu:
        pids = {child.spec.name: child.pid for child in platform.supervisor.children()}
        return cls(_family_s(pids["ingest"]), _family_s(pids["postgres"]))

    def since(self, before: _Cpu) -> _Cpu:
        return _Cpu(self.python_s - before.python_s, self.postgres_s - before.postgres_s)

    def per_million(self, n: int) -> dict[str, float]:
        return {
            "python": 1e6 * self.python_s / max(1, n),
            "postgres": 1e6 * self.postgres_s / max(1, n),
        }


def _family_s(pid: int) -> float:
    """Processor time of a process, of its children, and of those that have ended."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    own_s = times.user + times.system + times.children_user + times.children_system
    children = [child.cpu_times() for child in process.children()]
    return float(own_s + sum(child.user + child.system for child in children))


def _bare_copy(engine: Engine, load: _IngestLoad, platform: Platform) -> _Cpu:
    """What a COPY of the same rows costs, a request's in a transaction; Python's is that here."""
    names = repository.INDICATORS
    n_all = load.options.n_workloads * len(names)
    keys = [
        SeriesKey(1 + number // len(names), names[number % len(names)]) for number in range(n_all)
    ]
    with engine.begin() as connection:
        repository.make_copy_target(connection)
    rows = [b"".join([HEADER, *_encoded(keys, batch), TRAILER]) for batch in load.sent]
    before, python_s = _Cpu.now(platform), time.process_time()
    for content in rows:
        with engine.begin() as connection:
            repository.bare_copy(connection, [content])
    spent = _Cpu.now(platform).since(before)
    return _Cpu(time.process_time() - python_s, spent.postgres_s)


def _encoded(keys: list[SeriesKey], batch: Batch) -> Iterator[bytes]:
    n = len(batch.at_ms)
    samples = make_samples(
        np.repeat(batch.series, n),
        np.tile(batch.at_ms * 1000, len(batch.series)),
        batch.value.ravel(),
    )
    return encode_observations(key_columns(keys), samples)
