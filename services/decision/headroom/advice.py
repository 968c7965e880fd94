"""From rows to the core's values and back: what is advised for a GPU type; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import (
    PEAK_LEVELS,
    FloatArray,
    HeadroomRoom,
    NodeWait,
    ServiceNeed,
    forecast_score,
    joint_need,
    predictive_draws,
    size_headroom,
)
from services.decision.rows.lead_times import MOST_S, N_DRAWS, node_startup


@dataclass(frozen=True, slots=True)
class Dependence:
    """How much demands move together, learned at a time from so many steps."""

    ratio: float
    n_steps: int
    learned_at: datetime


@dataclass(frozen=True, slots=True)
class TypeNeeds:
    """What is known of a GPU type.

    Attributes:
        supply: Its row, as `repository.load_due` gives it.
        needs: Rows of `gpu_needs`.
        n_active: Workloads that may run on it.
        dependence: Of their demands.
        budget_left: GPUs of its budget that nobody holds, none of one that cannot be read; None: it
            has no budget.
    """

    supply: RowMapping
    needs: Sequence[RowMapping]
    n_active: int
    dependence: Dependence
    budget_left: int | None = None


def to_service(row: RowMapping) -> ServiceNeed:
    """A row of `gpu_needs`.

    Raises:
        decider.InvalidRequest: It has not the levels that are known here.
        ValueError: It is not whole.
    """
    return ServiceNeed(
        np.array(row["peaks"], dtype=np.int64).reshape(-1, len(PEAK_LEVELS)),
        float(row["step_s"]),
        int(row["held_replicas"]),
        int(row["max_replicas"]),
        int(row["gpus_per_replica"]),
        None if row["log_risk_price"] is None else math.exp(float(row["log_risk_price"])),
        None if row["risk_at_use"] is None else np.array(row["risk_at_use"], dtype=np.float64),
    )


def to_room(known: TypeNeeds) -> HeadroomRoom:
    """What is there of a type, and what there may be.

    What is granted and not asked for yet is taken from what is free. A budget limits what services
    could use. A chunk is the smallest replica, and no more than a node has: headroom in small
    pieces finds room on what nodes in use have left. Where no service says anything it is what it
    was.
    """
    supply, needs = known.supply, known.needs
    rising = sum(_gpus(row, row["held_replicas"] - row["current_replicas"]) for row in needs)
    taken = int(supply["asked_gpus"]) + rising
    most = int(supply["ceiling"]) - taken
    if known.budget_left is not None:
        most = min(most, known.budget_left)
    sizes = [int(row["gpus_per_replica"]) for row in needs]
    smallest = min(sizes, default=supply["last_chunk_gpus"] or 1)
    chunk = min(smallest, supply["gpus_per_node"] or smallest)
    weights = [max(1, _gpus(row, row["held_replicas"])) for row in needs]
    price = np.average([row["usd_per_gpu_hour"] for row in needs], weights=weights) if needs else 0
    free = max(0, int(supply["node_gpus"]) - taken)
    return HeadroomRoom(free, max(0, most), max(1, chunk), float(price))


def _gpus(row: RowMapping, replicas: int) -> int:
    return int(row["gpus_per_replica"]) * max(0, int(replicas))


def to_advice(known: TypeNeeds, generator: np.random.Generator, now: datetime) -> dict[str, Any]:
    """What is advised for a type, as a row of `gpu_headroom`.

    Args:
        known: What is known of it.
        generator: Draws the scenarios; the same for each advice, so that it moves with its reasons.
        now: Aware.
    """
    supply, dependence = known.supply, known.dependence
    services = [to_service(row) for row in known.needs]
    startup_s = np.minimum(predictive_draws(node_startup(supply), N_DRAWS), MOST_S)
    need = joint_need(services, NodeWait(startup_s, dependence.ratio), generator)
    room = to_room(known)
    found = size_headroom(need, room, supply["headroom_risk"])
    ends_s = min((each.peaks.shape[0] * each.step_s for each in services), default=np.inf)
    n_known = len({row["workload_id"] for row in known.needs})
    return {
        "cluster_id": supply["cluster_id"],
        "gpu_type": supply["gpu_type"],
        "risk": found.risk,
        "need_gpus": found.need_gpus,
        "gpus": found.gpus,
        "chunk_gpus": room.chunk_gpus,
        "free_gpus": room.free_gpus,
        "risk_before": found.risk_before,
        "risk_after": found.risk_after,
        "usd_per_hour": found.usd_per_hour,
        "is_capped": found.is_capped,
        "n_workloads": n_known,
        "n_unknown": max(0, known.n_active - n_known),
        "beyond_ratio": float((startup_s > ends_s).mean()),
        "dependence": dependence.ratio,
        "n_dependence_steps": dependence.n_steps,
        "dependence_at": dependence.learned_at,
        "advised_at": now,
    }


def to_scores(rows: Sequence[RowMapping]) -> FloatArray:
    """(T, W) normal scores of outcomes within their forecasts; NaN where there is none.

    Args:
        rows: As `repository.load_forecast_outcomes` gives them.
    """
    ids = sorted({row["workload_id"] for row in rows})
    steps = sorted({row["step_at"] for row in rows})
    found = np.full((len(steps), len(ids)), np.nan)
    at, column = {s: i for i, s in enumerate(steps)}, {w: i for i, w in enumerate(ids)}
    for row in rows:
        levels, values = (np.array(row[name], dtype=float) for name in _FORECAST)
        is_whole = levels.size == values.size > 0 and bool(np.isfinite(values).all())
        if is_whole and np.isfinite(row["demand"]):
            score = forecast_score(levels, np.maximum.accumulate(values), float(row["demand"]))
            found[at[row["step_at"]], column[row["workload_id"]]] = score
    return found


_FORECAST = ("quantile_levels", "quantiles")
