"""One workload with its history: specification, demand, and the pass of every step."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert

from services.kernel.db import schema
from tests.integration.admin.seeded_rows import (
    HORIZON,
    MISS_EVERY,
    MISS_HIGH,
    STEP_S,
    History,
    Moment,
    Workload,
    is_measured_workload,
)

# Standard normal quantiles of LEVELS.
Z = np.array([-2.326, -1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645, 2.326])
OBJECTIVE = {"goals": [{"metric": "ttft", "threshold_s": 2.0}], "share": 0.95}
NAMES = [
    ("llm-prod", "llama-70b-chat", "H100", 4, "output_tokens_per_s", "tokens/s", 1800.0),
    ("llm-prod", "mixtral-agents", "H100", 2, "output_tokens_per_s", "tokens/s", 2400.0),
    ("diffusion", "sdxl-turbo", "A100", 1, "gpu_busy", "GPUs busy", 0.8),
    ("vision", "detector-edge", "L4", 1, "request_rate_rps", "requests/s", 45.0),
    ("vision", "ocr-batch", "L4", 1, "request_rate_rps", "requests/s", 30.0),
    ("speech", "whisper-large", "A100", 1, "request_rate_rps", "requests/s", 12.0),
]


def seed_workload(connection: Any, rng: np.random.Generator, k: int, steps: list[datetime]) -> None:
    """Write the k-th workload and what happened to it at `steps`."""
    workload = _register(connection, k, steps[0])
    _history(rng, workload, steps).write(connection)
    _seed_pod_starts(connection, rng, workload, steps)
    state = {"workload_id": workload.id, "state": risk_state(k, steps), "updated_at": steps[-1]}
    connection.execute(insert(schema.risk_states).values(state))


def risk_state(k: int, steps: list[datetime]) -> dict[str, Any]:
    """Memory of the risk control: of every third workload the promise is measured."""
    n, spent, window_steps = float(len(steps)), 4.0 + 9 * (k % 3), 7 * 86400 / STEP_S
    believed, is_measured = spent / n, is_measured_workload(k)
    measured = sum(MISS_HIGH for t in range(len(steps)) if t % MISS_EVERY == 0) / n
    ratio = measured if is_measured else believed
    return {
        "spent_steps": spent,
        "observed_steps": n,
        "measured_missed": ratio * n if is_measured else 0.0,
        "measured_total": n if is_measured else 0.0,
        "measured_steps": n if is_measured else 0.0,
        "budget_source": "measured" if is_measured else "believed",
        "violation_ratio": ratio,
        "measured_ratio": measured if is_measured else None,
        "believed_ratio": believed,
        "budget_left_ratio": 1 - ratio * n / (0.01 * window_steps),
        "sli_status": "Measured" if is_measured else "NoObjective",
        "sli_message": "" if is_measured else "set spec.sla.objective to measure the promise",
        "demand_censored_message": "" if is_measured else None,
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
        "sla": {"epsilon": 0.01, "window_s": 7 * 86400.0}
        | ({"objective": OBJECTIVE} if is_measured_workload(k) else {}),
        "price_usd_per_gpu_hour": {"H100": 2.5, "A100": 1.6, "L4": 0.7}[gpu],
        "paused": k % 6 == 5,
    }


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


def _register(connection: Any, k: int, at: datetime) -> Workload:
    namespace, name, _, gpus, demand, _, capacity = NAMES[k % len(NAMES)]
    suffix = f"-{k // len(NAMES) + 1}" if k >= len(NAMES) else ""
    spec = spec_of(k)
    row = {"namespace": namespace, "name": name + suffix, "shard": 0, "step_s": STEP_S}
    times = {"created_at": at, "updated_at": at}
    statement = insert(schema.workloads).values(row | {"spec": spec} | times)
    workload_id = connection.execute(statement.returning(schema.workloads.c.id)).scalar_one()
    return Workload(workload_id, k, name, gpus, demand, capacity, spec)


def _history(rng: np.random.Generator, workload: Workload, steps: list[datetime]) -> History:
    """Every step of a workload: scaled up at once, down by two or more."""
    n, k, capacity = len(steps), workload.k, workload.capacity
    mean, values = demand_path(rng, k, n + HORIZON + 1, capacity)
    spread = (0.07 + 0.02 * (k % 3)) * np.sqrt(np.arange(1, HORIZON + 1))
    history = History()
    ready = current = max(2, math.ceil(values[0] * 1.25 / capacity))
    for t, at in enumerate(steps):
        table = mean[t + 1 : t + 1 + HORIZON] * np.exp(Z[:, None] * np.minimum(spread, 0.35))
        raw = int(np.clip(math.ceil(table[7, 3] / capacity), 2, 24))
        moment = Moment(
            workload=workload,
            t=t,
            at=at,
            value=values[t],
            is_seen=t != n // 3,
            queue_requests=float(rng.integers(0, 9)),
            gpu_duty_ratio=0.4 + 0.3 * rng.random(),
            table=table,
            is_model=not (k == 3 and t > n - 10),
            ready=ready,
            current=current,
            raw=raw,
        )
        history.add(moment)
        is_auto, desired = workload.is_auto, moment.desired
        ready = current if desired >= current or not is_auto else desired
        current = desired if is_auto else max(current, moment.need)
    return history


def _seed_pod_starts(
    connection: Any, rng: np.random.Generator, workload: Workload, steps: list[datetime]
) -> None:
    n = len(steps)
    starts = [
        {
            "pod_uid": f"{workload.id}-{i}",
            "workload_id": workload.id,
            "gpu_type": workload.spec["gpu_type"],
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
