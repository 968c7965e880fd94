"""A small fleet with a day behind it, written straight into the tables that the others write."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.from_thread
import httpx
import numpy as np
import pytest
import redis
from fastapi import FastAPI
from sqlalchemy import Engine, insert

from services.admin.api import make_app
from services.admin.service import AdminDeps
from services.admin.sessions import SessionStore
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.security import KeyVerifier, Role, create_key
from services.kernel.settings import Settings

NOW = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
STEP_S = 300
LEVELS = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
# Standard normal quantiles of LEVELS.
Z = np.array([-2.326, -1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645, 2.326])
HORIZON = 12
BASE_URL = "http://console.test"
NAMES = [
    ("llm-prod", "llama-70b-chat", "H100", 4, "output_tokens_per_s", "tokens/s", 1800.0),
    ("llm-prod", "mixtral-agents", "H100", 2, "output_tokens_per_s", "tokens/s", 2400.0),
    ("diffusion", "sdxl-turbo", "A100", 1, "gpu_busy", "GPUs busy", 0.8),
    ("vision", "detector-edge", "L4", 1, "request_rate_rps", "requests/s", 45.0),
    ("vision", "ocr-batch", "L4", 1, "request_rate_rps", "requests/s", 30.0),
    ("speech", "whisper-large", "A100", 1, "request_rate_rps", "requests/s", 12.0),
]


@dataclass(frozen=True)
class Seeded:
    """What was written: the clock's time, the origins, oldest first."""

    now: datetime
    origins: list[datetime]
    n_workloads: int


def seed_fleet(
    engine: Engine, n_workloads: int = 3, n_steps: int = 48, now: datetime = NOW
) -> Seeded:
    """Write `n_steps` steps of `n_workloads` workloads that end at `now`."""
    rng = np.random.default_rng(7)
    first = now - timedelta(seconds=STEP_S * n_steps)
    steps = [first + timedelta(seconds=STEP_S * k) for k in range(n_steps)]
    with engine.begin() as connection:
        connection.execute(insert(schema.models).values(_model(first)))
        for k in range(n_workloads):
            _seed_workload(connection, rng, k, steps)
        budget = {"gpu_type": "H100", "gpus": 64, "source": "GPUBudget/hopper"}
        connection.execute(insert(schema.gpu_budgets).values(budget | {"observed_at": now}))
    return Seeded(now, steps, n_workloads)


def _model(at: datetime) -> dict[str, Any]:
    return {
        "version": "harmony-flow-3",
        "kind": "flow",
        "status": "promoted",
        "reason": "skill 0.21 over the best simple forecaster",
        "config": {"d_model": 64},
        "metrics": {"crps": 0.081},
        "created_at": at,
        "promoted_at": at,
    }


def spec_of(k: int) -> dict[str, Any]:
    """Specification of the k-th workload, as the operator stores it."""
    _, name, gpu, gpus, demand, unit, capacity = NAMES[k % len(NAMES)]
    return {
        "target": f"Deployment/{name}",
        "mode": ("Auto", "Auto", "Approval", "Auto", "Advisory", "Auto")[k % 6],
        "gpu_type": gpu,
        "gpus_per_replica": gpus,
        "min_replicas": 2,
        "max_replicas": 24,
        "demand": demand,
        "indicators": [
            {"name": demand, "level": 1, "unit": unit},
            {"name": "queue_requests", "level": 2, "unit": "requests"},
            {"name": "gpu_duty_ratio", "level": 3, "unit": "ratio"},
        ],
        "capacity": {"per_replica": capacity, "cv": 0.1},
        "sla": {"epsilon": 0.01, "window_s": 7 * 86400.0},
        "price_usd_per_gpu_hour": {"H100": 2.5, "A100": 1.6, "L4": 0.7}[gpu],
        "paused": k % 6 == 5,
    }


def _seed_workload(
    connection: Any, rng: np.random.Generator, k: int, steps: list[datetime]
) -> None:
    namespace, name, gpu, gpus, demand, _, capacity = NAMES[k % len(NAMES)]
    suffix = f"-{k // len(NAMES) + 1}" if k >= len(NAMES) else ""
    spec = spec_of(k)
    row = {"namespace": namespace, "name": name + suffix, "shard": 0, "step_s": STEP_S}
    times = {"created_at": steps[0], "updated_at": steps[0]}
    statement = insert(schema.workloads).values(row | {"spec": spec} | times)
    workload_id = connection.execute(statement.returning(schema.workloads.c.id)).scalar_one()
    n = len(steps)
    mean, values = demand_path(rng, k, n + HORIZON + 1, capacity)
    gap = n // 3
    indicators, forecasts, decisions, actions, outcomes, states, scores = ([] for _ in range(7))
    sigma = 0.07 + 0.02 * (k % 3)
    ready = spec_replicas = max(2, math.ceil(values[0] * 1.25 / capacity))
    for t, at in enumerate(steps):
        seen = t != gap
        indicators.append((workload_id, demand, at, values[t] if seen else None, seen))
        indicators.append((workload_id, "queue_requests", at, float(rng.integers(0, 9)), True))
        indicators.append((workload_id, "gpu_duty_ratio", at, 0.4 + 0.3 * rng.random(), True))
        is_model = not (k == 3 and t > n - 10)
        spread = sigma * np.sqrt(np.arange(1, HORIZON + 1))
        table = mean[t + 1 : t + 1 + HORIZON] * np.exp(Z[:, None] * np.minimum(spread, 0.35))
        forecast_id = decision_id = workload_id * 100_000 + t
        decided_at = at + timedelta(seconds=STEP_S + 1)
        model = "harmony-flow-3" if is_model else "best-simple"
        rung = "model" if is_model else "trailing_percentile"
        why = "" if is_model else "demand is stale: last observed 4 steps before the origin"
        forecasts.append(
            (
                forecast_id,
                at,
                workload_id,
                model,
                rung,
                why,
                STEP_S,
                HORIZON,
                LEVELS,
                table.tolist(),
                200,
                decided_at,
            )
        )
        need = max(1, math.ceil(values[t] / capacity))
        raw = int(np.clip(math.ceil(table[7, 3] / capacity), 2, 24))
        held = raw < spec_replicas and spec_replicas - raw < 2
        desired = spec_replicas if held else raw
        direction = (
            "up" if desired > spec_replicas else "down" if desired < spec_replicas else "hold"
        )
        reason = {
            "up": "scale_up_risk",
            "down": "scale_down_risk_allows",
            "hold": "hold_stabilisation" if held else "hold_within_risk",
        }[direction]
        delta = (desired - spec_replicas) * gpus * spec["price_usd_per_gpu_hour"]
        decisions.append(
            (
                decision_id,
                at,
                workload_id,
                forecast_id,
                "harmony-1",
                decided_at,
                decided_at + timedelta(seconds=3 * STEP_S),
                spec_replicas,
                raw,
                desired,
                direction,
                reason,
                "risk" if direction == "up" else None,
                "forecast" if is_model else "trailing_percentile",
                0.01,
                0.0042,
                delta,
                explanation(name, spec_replicas, raw, desired, direction, reason, table, delta),
            )
        )
        is_auto = spec["mode"] == "Auto" and not spec["paused"]
        result = (
            ("applied" if desired != spec_replicas else "unchanged")
            if is_auto
            else (
                "paused"
                if spec["paused"]
                else "awaiting_approval"
                if spec["mode"] == "Approval"
                else "advisory"
            )
        )
        actions.append(
            (
                decision_id,
                at,
                decision_id,
                workload_id,
                1,
                spec_replicas,
                desired if is_auto else spec_replicas,
                result,
                f"mode {spec['mode']}",
                decided_at,
            )
        )
        short = max(0.0, 1 - ready * capacity / values[t]) if values[t] else 0.0
        outcomes.append(
            (
                workload_id,
                at,
                decision_id,
                values[t],
                float(ready),
                need,
                float(need > ready),
                short,
                ready * gpus * STEP_S / 3600,
                ready * gpus * STEP_S / 3600 * spec["price_usd_per_gpu_hour"],
                decided_at,
            )
        )
        pending_before = max(0, spec_replicas - ready)
        states.append(
            (
                workload_id,
                at + timedelta(seconds=STEP_S),
                spec_replicas,
                ready,
                pending_before,
                0,
                [40.0] * pending_before,
                12,
            )
        )
        scores.append(
            (
                forecast_id,
                at,
                workload_id,
                model,
                HORIZON,
                0.08,
                {str(q): 0.02 for q in LEVELS},
                {str(q): min(1.0, max(0.0, q + 0.01 * (k % 3 - 1))) for q in LEVELS},
                0.104,
                0.23,
                decided_at,
            )
        )
        ready = spec_replicas if desired >= spec_replicas or not is_auto else desired
        spec_replicas = desired if is_auto else max(spec_replicas, need)
    _copy(
        connection, schema.indicators, "workload_id indicator step_at value is_observed", indicators
    )
    _copy(
        connection,
        schema.forecasts,
        "id origin_at workload_id model_version rung reason step_s n_horizon quantile_levels "
        "quantiles n_paths created_at",
        forecasts,
    )
    _insert(
        connection,
        schema.decisions,
        "id origin_at workload_id forecast_id policy_version decided_at valid_until "
        "current_replicas raw_replicas desired_replicas direction reason binding_constraint "
        "rung risk_target risk_estimated cost_delta_usd_per_h explanation",
        decisions,
    )
    _copy(
        connection,
        schema.actions,
        "id origin_at decision_id workload_id attempt from_replicas to_replicas result reason "
        "applied_at",
        actions,
    )
    _copy(
        connection,
        schema.outcomes,
        "workload_id step_at decision_id demand ready_mean needed_replicas violation_ratio "
        "shortage gpu_hours cost_usd computed_at",
        outcomes,
    )
    _copy(
        connection,
        schema.replica_states,
        "workload_id observed_at spec_replicas ready_replicas starting_replicas "
        "pending_replicas start_ages_s schedulable_gpus",
        states,
    )
    _insert(
        connection,
        schema.forecast_scores,
        "forecast_id origin_at workload_id model_version n_steps crps pinball coverage "
        "crps_last_value skill_vs_last_value scored_at",
        scores,
    )
    starts = [
        {
            "pod_uid": f"{workload_id}-{i}",
            "workload_id": workload_id,
            "gpu_type": gpu,
            "requested_at": steps[i % n],
            "observed_at": steps[i % n],
            "ready_at": steps[i % n] + timedelta(seconds=60 + 10 * float(rng.random() * i))
            if i % 7
            else None,
            "gone_at": None,
        }
        for i in range(20)
    ]
    connection.execute(insert(schema.pod_starts), starts)
    state = {
        "workload_id": workload_id,
        "state": {"spent_steps": 4.0 + 9 * (k % 3)},
        "updated_at": steps[-1],
    }
    connection.execute(insert(schema.risk_states).values(state))


def demand_path(
    rng: np.random.Generator, k: int, n: int, capacity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and realised demand: a daily cycle, slow noise, a burst."""
    t = np.arange(n)
    cycle = 8 + 4.5 * np.sin(2 * np.pi * (t / (86400 / STEP_S) - 0.3 - 0.07 * k))
    slow = np.convolve(rng.normal(0, 1, n + 20), np.ones(20) / 20, "valid")[:n]
    mean = capacity * cycle * (1 + 0.25 * slow)
    mean[n // 2 : n // 2 + 6] *= 1.35
    return mean, mean * np.exp(rng.normal(0, 0.06, n))


def explanation(
    name: str,
    current: int,
    raw: int,
    final: int,
    direction: str,
    reason: str,
    table: np.ndarray,
    delta: float,
) -> dict[str, Any]:
    """The record that the decision service stores."""
    guards = [
        "stale_input",
        "paused",
        "one_way",
        "schedule",
        "bounds",
        "consolidation",
        "schedulable",
        "rate_limit",
        "tolerance",
        "stabilisation",
        "fleet",
    ]
    trace, count = [], raw
    for guard in guards:
        after = final if guard == "stabilisation" else count
        detail = "recommendations of the last 300 s" if after != count else ""
        trace.append({"guard": guard, "before": count, "after": after, "detail": detail})
        count = after
    return {
        "workload": name,
        "current": current,
        "raw": raw,
        "final": final,
        "direction": direction,
        "reason": reason,
        "binding_constraint": "risk",
        "rung": "forecast",
        "guard_trace": trace,
        "risk": {
            "target": 0.01,
            "level": 0.0118,
            "before": 0.083,
            "after": 0.0042,
            "committed": 0.001,
            "is_budget_exhausted": False,
        },
        "cost_delta_usd_per_hour": delta,
        "plan": [final] * 6 + [max(2, final - 1)] * 6,
        "quantiles": {
            "p10": float(table[2, 3]),
            "p50": float(table[4, 3]),
            "p90": float(table[6, 3]),
            "p99": float(table[8, 3]),
        },
        "counterfactuals": {
            "epsilon_0.001": raw + 2,
            "epsilon_0.01": raw,
            "epsilon_0.05": max(2, raw - 1),
            "median_forecast": max(2, raw - 3),
            "zero_lead_time": max(2, raw - 2),
        },
        "fleet": {"cap": None, "shadow_price_usd_per_gpu_hour": 0.0},
    }


def _copy(connection: Any, table: Any, columns: str, rows: list[tuple[Any, ...]]) -> None:
    copy_rows(connection, CopyTarget(table, tuple(columns.split()), on_conflict="error"), rows)


def _insert(connection: Any, table: Any, columns: str, rows: list[tuple[Any, ...]]) -> None:
    """Like `_copy`, for tables with JSON columns."""
    from services.kernel.db.partitions import ensure_partitions

    names = columns.split()
    at = names.index("origin_at")
    ensure_partitions(connection, table.name, rows[0][at], rows[-1][at])
    connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])


@pytest.fixture
def seeded(database: Engine) -> Seeded:
    """Three workloads with four hours behind them."""
    return seed_fleet(database)


@pytest.fixture
def deps(database: Engine, redis_url: str, settings: Settings) -> Iterator[AdminDeps]:
    """Dependencies on the test servers, with both clocks at NOW."""
    client = redis.Redis.from_url(redis_url)
    yield AdminDeps(
        engine=database,
        redis=client,
        settings=settings.model_copy(update={"step_s": STEP_S}),
        clock=FixedClock(NOW),
        wall=FixedClock(NOW),
        verifier=KeyVerifier(database),
        sessions=SessionStore(client),
    )
    client.close()


@pytest.fixture
def keys(database: Engine) -> dict[Role, str]:
    """A key of each role."""
    with database.begin() as connection:
        return {role: create_key(connection, str(role), role, NOW).token for role in Role}


class AppClient:
    """A plain HTTP client of the application, without a socket."""

    def __init__(self, app: FastAPI, headers: dict[str, str] | None = None) -> None:
        self.headers = dict(headers or {})
        self.cookies = httpx.Cookies()
        self._app = app

    def __enter__(self) -> AppClient:
        self._portal_context = anyio.from_thread.start_blocking_portal()
        self._portal = self._portal_context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._portal_context.__exit__(None, None, None)

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Send one request; redirects are not followed."""
        kwargs["headers"] = self.headers | kwargs.get("headers", {})

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(
                transport=transport, base_url=BASE_URL, cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, **kwargs)
                self.cookies = client.cookies
                return answer

        return self._portal.call(send)

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("POST", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("DELETE", path, **kwargs)


@pytest.fixture
def anonymous(deps: AdminDeps) -> Iterator[AppClient]:
    """A client without credentials."""
    with AppClient(make_app(deps)) as client:
        yield client


@pytest.fixture
def viewer(deps: AdminDeps, keys: dict[Role, str]) -> Iterator[AppClient]:
    """A client with a viewer's key."""
    with AppClient(make_app(deps), _bearer(keys[Role.VIEWER])) as client:
        yield client


@pytest.fixture
def admin(deps: AdminDeps, keys: dict[Role, str]) -> Iterator[AppClient]:
    """A client with an admin's key."""
    with AppClient(make_app(deps), _bearer(keys[Role.ADMIN])) as client:
        yield client


@pytest.fixture
def console(anonymous: AppClient, keys: dict[Role, str]) -> AppClient:
    """A browser that has logged in as a viewer."""
    form = {"key": keys[Role.VIEWER], "next": "/"}
    origin = {"Origin": BASE_URL}
    answer = anonymous.post("/login", data=form, headers=origin)
    assert answer.status_code == 303
    anonymous.headers["Accept"] = "text/html"
    return anonymous


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
