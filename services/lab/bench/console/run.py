"""The measurement: a large fleet in the database, the console in a process, a real browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from services.backtest.service import carry_out
from services.kernel.clock import SystemClock, floor_step
from services.kernel.db.session import make_engine
from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.lab.bench.api.repository import StoredHistory, count_workloads, store_history
from services.lab.bench.api.run import bearer, serve_alone
from services.lab.bench.console import repository
from services.lab.bench.console.browser import COOKIE, chromium, row_of, visit
from services.platform.platform import platform_servers

_N_OF_EACH = 20
"""Approvals and models: as many as a page shows."""


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """Options of the measurement."""

    n_workloads: int = 1000
    n_days: int = 1
    step_s: int = 300
    n_loads: int = 5


def run_console(
    options: ConsoleOptions, settings: Settings, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure every page; returns the document of `--json`.

    A database that holds workloads already is shown as it is.

    Raises:
        Unavailable: Something does not start, or there is no browser.
    """
    free = settings.model_copy(update={"port": 0, "ingest_port": 0})
    with platform_servers(free, "bench-console") as platform, chromium() as browser:
        engine = make_engine(platform.settings.database_url)
        clock = SystemClock()
        end = floor_step(clock.now(), options.step_s)
        history = StoredHistory(options.n_workloads, options.n_days, options.step_s, end)
        if count_workloads(engine) == 0:
            store_history(engine, history, tell)
        is_new = not repository.is_decorated(engine)
        if is_new:
            since = end - timedelta(seconds=options.step_s)
            repository.decorate(engine, clock.now(), since, _N_OF_EACH)
        tell("starting the console")
        key = serve_alone(platform, options.step_s)
        with httpx.Client(base_url=platform.api_url, timeout=60) as client:
            if is_new:
                tell("a backtest, so that there is a frontier")
                carry_out(engine, clock, clock, _ask_for_backtest(client, key))
            session = _log_in(client, key)
            pages = pages_of(client, key)
        rows = []
        for name, path in pages:
            visit(browser, platform.api_url + path, session)  # what is read once stays in memory
            loads = []
            for number in range(options.n_loads):
                tell(f"{name}: {number + 1} of {options.n_loads}")
                loads.append(visit(browser, platform.api_url + path, session))
            rows.append(row_of(name, loads))
    return {
        "n_workloads": options.n_workloads,
        "n_days": options.n_days,
        "step_s": options.step_s,
        "n_loads": options.n_loads,
        "pages": rows,
    }


def _log_in(client: httpx.Client, key: str) -> str:
    """A session's token."""
    origin = {"Origin": str(client.base_url).rstrip("/")}
    answer = client.post("/login", data={"key": key}, headers=origin)
    if COOKIE not in answer.cookies:
        raise Unavailable(f"the console does not log in: status {answer.status_code}")
    return answer.cookies[COOKIE]


def _ask_for_backtest(client: httpx.Client, key: str) -> int:
    item = client.get("/v1/workloads?limit=1", headers=bearer(key)).json()["items"][0]
    body = {"workloads": [f"{item['namespace']}/{item['name']}"], "replay_hours": 6}
    answer = client.post("/v1/backtests", json=body, headers=bearer(key))
    if answer.status_code != 202:
        raise Unavailable(f"no backtest can be asked for: {answer.text[:200]}")
    return int(answer.json()["id"])


def pages_of(client: httpx.Client, key: str) -> list[tuple[str, str]]:
    """Name and address of every page, of what there is."""
    head = bearer(key)
    item = client.get("/v1/workloads?limit=1", headers=head).json()["items"][0]
    workload = f"/workloads/{item['namespace']}/{item['name']}"
    decision = client.get("/v1/decisions?limit=1", headers=head).json()["items"][0]["id"]
    backtests = client.get("/v1/backtests?limit=1", headers=head).json()["items"]
    done = [("Backtest", f"/backtests/{backtests[0]['id']}")] if backtests else []
    return [
        ("Fleet", "/"),
        ("Fleet, sorted by budget", "/?sort=budget"),
        ("Workload", workload),
        ("Timeline", f"{workload}/timeline"),
        ("Policy", f"{workload}/policy"),
        ("Schedules", f"{workload}/schedules"),
        ("Decision", f"/decisions/{decision}"),
        ("Approvals", "/approvals"),
        ("Backtests", "/backtests"),
        *done,
        ("Frontier", "/frontier"),
        ("Advice", "/advice"),
        ("Models", "/models"),
        ("Budgets", "/limits"),
        ("Freezes", "/freezes"),
        ("Keys", "/keys"),
        ("Audit", "/audit"),
    ]
