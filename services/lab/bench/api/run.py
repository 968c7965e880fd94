"""The measurement: fill a database, serve it from a process of its own, ask it at a steady rate."""

from __future__ import annotations

import math
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from services.kernel.clock import SystemClock, floor_step
from services.kernel.db.session import make_engine
from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.lab.bench.api import repository
from services.lab.bench.api.load import Endpoint, Shot, fire
from services.lab.bench.api.repository import StoredHistory
from services.platform.platform import Platform, platform_servers, process_env, server_process

LIST_MS, FAN_MS = 50.0, 100.0
_N_WARM = 3
_WARM_S = 3.0
_COUNTED_ONLY = 1e6  # limits that count each request and refuse none
_N_ALONE = 50


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Options of the measurement."""

    n_workloads: int = 1000
    n_days: int = 7
    step_s: int = 300
    rate_per_s: float = 100.0
    duration_s: float = 30.0
    seed: int = 7


def run_api(options: ApiOptions, settings: Settings, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure the API; returns the document of `--json`.

    A database that holds workloads already is asked as it is.

    Raises:
        Unavailable: Something does not start.
    """
    free = settings.model_copy(update={"port": 0, "ingest_port": 0})
    with platform_servers(free, "bench-api") as platform:
        engine = make_engine(platform.settings.database_url)
        now = SystemClock().now()
        history = StoredHistory(
            options.n_workloads, options.n_days, options.step_s, floor_step(now, options.step_s)
        )
        if repository.count_workloads(engine) == 0:
            repository.store_history(engine, history, tell)
        tell("starting the API")
        key = serve_alone(platform, options.step_s)
        endpoints = make_endpoints(platform.api_url, key, history)
        for endpoint in endpoints:
            for path in endpoint.paths[:_N_WARM]:
                answer = httpx.get(platform.api_url + path, headers=bearer(key), timeout=60)
                if answer.status_code != 200:
                    raise Unavailable(f"{path} answers {answer.status_code}: {answer.text[:200]}")
        tell("one request at a time")
        costs = [cost(platform, key, endpoint) for endpoint in endpoints]
        tell(f"{options.rate_per_s:g} requests/s for {options.duration_s:g} s")
        for duration_s in (_WARM_S, options.duration_s):
            shots = fire(
                platform.api_url, key, endpoints, options.rate_per_s, duration_s, options.seed
            )
    return {
        "n_workloads": options.n_workloads,
        "n_days": options.n_days,
        "step_s": options.step_s,
        "rate_per_s": options.rate_per_s,
        "duration_s": options.duration_s,
        "mean_cpu_ms": round(sum(one["cpu_ms"] for one in costs) / len(costs), 2),
        "endpoints": [
            summary(endpoint, shots) | one for endpoint, one in zip(endpoints, costs, strict=True)
        ],
    }


def bearer(key: str) -> dict[str, str]:
    """The header that shows an API key."""
    return {"Authorization": f"Bearer {key}"}


def serve_alone(platform: Platform, step_s: int) -> str:
    """Start the API as an installation runs it; returns an admin's key.

    Its limits count every request, as they do anywhere, but are too high to refuse one.
    """
    key = f"hk_{secrets.token_hex(5)}_{secrets.token_urlsafe(32)}"
    key_file = Path(tempfile.mkdtemp(prefix="harmony-bench-")) / "key"
    key_file.write_text(key)
    changes = {
        "admin_key_file": key_file,
        "rate_per_s": _COUNTED_ONLY,
        "rate_burst": int(_COUNTED_ONLY),
        "address_rate_per_s": _COUNTED_ONLY,
        "address_rate_burst": int(_COUNTED_ONLY),
        "step_s": step_s,
        "log_level": "WARNING",
    }
    settings = platform.settings.model_copy(update=changes)
    platform.supervisor.start_all([server_process("admin", process_env(settings))])
    return key


def make_endpoints(url: str, key: str, history: StoredHistory) -> list[Endpoint]:
    """Lists and details as the console and the plugin ask for them, over many workloads."""
    with httpx.Client(base_url=url, headers=bearer(key), timeout=60) as client:
        items = client.get("/v1/workloads", params={"limit": 100}).json()["items"]
        decisions = client.get("/v1/decisions", params={"limit": 100}).json()["items"]
    keys = [f"{item['namespace']}/{item['name']}" for item in items]
    roots = [f"/v1/workloads/{key_}" for key_ in keys]
    past = (history.end_at - timedelta(days=history.n_days / 2)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def each(suffix: str) -> tuple[str, ...]:
        return tuple(f"{root}{suffix}" for root in roots)

    of = tuple(f"workload={key_}" for key_ in keys)
    return [
        Endpoint("workloads, 50 of them", LIST_MS, ("/v1/workloads?limit=50",)),
        Endpoint("workload", LIST_MS, each("")),
        Endpoint("decisions of the fleet", LIST_MS, ("/v1/decisions?limit=50",)),
        Endpoint("decisions of a workload", LIST_MS, tuple(f"/v1/decisions?{w}" for w in of)),
        Endpoint("decision", LIST_MS, tuple(f"/v1/decisions/{d['id']}" for d in decisions)),
        Endpoint("actions of a workload", LIST_MS, tuple(f"/v1/actions?{w}" for w in of)),
        Endpoint("outcomes of a workload", LIST_MS, tuple(f"/v1/outcomes?{w}" for w in of)),
        Endpoint("policies, 50 of them", LIST_MS, ("/v1/policies?limit=50",)),
        Endpoint("policy", LIST_MS, each("/policy")),
        Endpoint("approvals inbox", LIST_MS, ("/v1/approvals",)),
        Endpoint("SLA classes", LIST_MS, ("/v1/sla-classes",)),
        Endpoint("lead times", LIST_MS, each("/lead-times")),
        Endpoint("quality of a week", LIST_MS, each("/quality")),
        Endpoint("allocation of a day", LIST_MS, each("/allocation")),
        Endpoint("fan chart, newest", FAN_MS, each("/forecasts")),
        Endpoint("fan charts, 6 origins", FAN_MS, each("/forecasts/fans")),
        Endpoint("fan charts in the past", FAN_MS, each(f"/forecasts/fans?to_at={past}")),
        Endpoint("forecasts a step ahead, a day", FAN_MS, each("/forecasts/ahead?level=0.5")),
    ]


def cost(platform: Platform, key: str, endpoint: Endpoint) -> dict[str, float]:
    """Cost of one request while no other is served.

    The shortest of some is what the code and the data take; processor time of the API's process
    says how many a second of a core can serve. Neither depends on what else the machine does.
    """
    process = psutil.Process(platform.supervisor.pids()[-1])
    shortest_s = math.inf
    with httpx.Client(base_url=platform.api_url, headers=bearer(key), timeout=60) as client:
        before = process.cpu_times()
        for i in range(_N_ALONE):
            started_s = time.perf_counter()
            client.get(endpoint.paths[i % len(endpoint.paths)])
            shortest_s = min(shortest_s, time.perf_counter() - started_s)
        after = process.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    return {
        "alone_ms": round(1000 * shortest_s, 1),
        "cpu_ms": round(1000 * cpu_s / _N_ALONE, 1),
    }


def summary(endpoint: Endpoint, shots: Sequence[Shot]) -> dict[str, Any]:
    """Figures of one kind of request."""
    own = [shot for shot in shots if shot.name == endpoint.name]
    latency = np.array([shot.latency_ms for shot in own])
    p50, p95, p99 = (float(np.quantile(latency, q)) for q in (0.5, 0.95, 0.99))
    return {
        "endpoint": endpoint.name,
        "n": len(own),
        "n_errors": sum(shot.status != 200 for shot in own),
        "kib": round(float(np.mean([shot.n_bytes for shot in own])) / 1024, 1),
        "p50_ms": round(p50, 1),
        "p95_ms": round(p95, 1),
        "p99_ms": round(p99, 1),
        "limit_ms": endpoint.limit_ms,
        "is_kept": p95 <= endpoint.limit_ms,
    }
