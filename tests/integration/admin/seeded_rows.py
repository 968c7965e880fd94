"""The rows that one step of a workload leaves in each table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert

from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.schema_running import decision_inputs
from services.kernel.db.session import CopyTarget, copy_rows
from tests.integration.admin.explanations import explanation
from tests.integration.stored_indicators import store_indicators

STEP_S = 300
HORIZON = 12
REQUESTS = 400.0
"""Requests of a measured step."""
MISS_HIGH, MISS_EVERY = 0.12, 4
"""Share of them that missed, and in which steps."""
LEVELS = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]

Row = tuple[Any, ...]

_COLUMNS = {
    "indicators": "workload_id indicator step_at value is_observed",
    "forecasts": "id origin_at workload_id model_version rung reason step_s n_horizon "
    "quantile_levels quantiles n_paths created_at",
    "decisions": "id origin_at workload_id forecast_id policy_version decided_at valid_until "
    "current_replicas raw_replicas desired_replicas direction reason binding_constraint "
    "rung risk_target risk_estimated cost_delta_usd_per_h explanation",
    "actions": "id origin_at decision_id workload_id attempt from_replicas to_replicas result "
    "reason applied_at",
    "outcomes": "workload_id step_at decision_id demand ready_mean needed_replicas "
    "violation_ratio shortage gpu_hours cost_usd computed_at "
    "sli_requests sli_miss_low sli_miss_high measured_violation_ratio is_final",
    "replica_states": "workload_id observed_at spec_replicas ready_replicas starting_replicas "
    "pending_replicas start_ages_s schedulable_gpus",
    "forecast_scores": "forecast_id origin_at workload_id model_version n_steps crps pinball "
    "coverage crps_last_value skill_vs_last_value scored_at",
}
_WITH_JSON = {"decisions", "forecast_scores"}


@dataclass(frozen=True)
class Workload:
    """What every row of one workload knows of it."""

    id: int
    k: int
    name: str
    gpus: int
    demand: str
    capacity: float
    spec: dict[str, Any]

    @property
    def is_auto(self) -> bool:
        return self.spec["mode"] == "Auto" and not self.spec["paused"]

    @property
    def gpu_price_usd_per_hour(self) -> float:
        return self.spec["price_usd_per_gpu_hour"]


@dataclass(frozen=True)
class Moment:
    """One step of a workload: what was seen, forecast, running and recommended.

    `table` has a row per level of LEVELS and a column per step ahead.
    """

    workload: Workload
    t: int
    at: datetime
    value: float
    is_seen: bool
    queue_requests: float
    gpu_duty_ratio: float
    table: np.ndarray
    is_model: bool
    ready: int
    current: int
    raw: int

    @property
    def id(self) -> int:
        """Number of the forecast, the decision and the action."""
        return self.workload.id * 100_000 + self.t

    @property
    def decided_at(self) -> datetime:
        return self.at + timedelta(seconds=STEP_S + 1)

    @property
    def model(self) -> str:
        return "harmony-flow-3" if self.is_model else "best-simple"

    @property
    def need(self) -> int:
        return max(1, math.ceil(self.value / self.workload.capacity))

    @property
    def is_held(self) -> bool:
        return self.raw < self.current and self.current - self.raw < 2

    @property
    def desired(self) -> int:
        return self.current if self.is_held else self.raw

    @property
    def direction(self) -> str:
        if self.desired > self.current:
            return "up"
        return "down" if self.desired < self.current else "hold"

    @property
    def reason(self) -> str:
        return {
            "up": "scale_up_risk",
            "down": "scale_down_risk_allows",
            "hold": "hold_stabilisation" if self.is_held else "hold_within_risk",
        }[self.direction]


class History:
    """Rows of the tables that grow by one step at a time."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {name: [] for name in _COLUMNS}

    def add(self, moment: Moment) -> None:
        """Append one step's rows."""
        self._rows["indicators"] += _indicators(moment)
        self._rows["forecasts"].append(_forecast(moment))
        self._rows["decisions"].append(_decision(moment))
        self._rows["actions"].append(_action(moment))
        self._rows["outcomes"].append(_outcome(moment))
        self._rows["replica_states"].append(_replica_state(moment))
        self._rows["forecast_scores"].append(_score(moment))

    def write(self, connection: Any) -> None:
        """Write all rows, table by table."""
        for name, columns in _COLUMNS.items():
            write = _insert if name in _WITH_JSON else _copy
            if name == "indicators":
                store_indicators(connection, self._rows[name])
            else:
                write(connection, getattr(schema, name), columns, self._rows[name])
        inputs = [(row[0], row[1], b"seeded") for row in self._rows["decisions"]]
        _copy(connection, decision_inputs, "decision_id origin_at inputs", inputs)


def _indicators(moment: Moment) -> list[Row]:
    workload, at = moment.workload, moment.at
    value = moment.value if moment.is_seen else None
    return [
        (workload.id, workload.demand, at, value, moment.is_seen),
        (workload.id, "queue_requests", at, moment.queue_requests, True),
        (workload.id, "gpu_duty_ratio", at, moment.gpu_duty_ratio, True),
    ]


def _forecast(moment: Moment) -> Row:
    why = "" if moment.is_model else "demand is stale: last observed 4 steps before the origin"
    return (
        moment.id,
        moment.at,
        moment.workload.id,
        moment.model,
        "model" if moment.is_model else "trailing_percentile",
        why,
        STEP_S,
        HORIZON,
        LEVELS,
        moment.table.tolist(),
        200,
        moment.decided_at,
    )


def _decision(moment: Moment) -> Row:
    workload, current, raw, desired = moment.workload, moment.current, moment.raw, moment.desired
    direction, reason = moment.direction, moment.reason
    delta = (desired - current) * workload.gpus * workload.gpu_price_usd_per_hour
    return (
        moment.id,
        moment.at,
        workload.id,
        moment.id,
        "harmony-1",
        moment.decided_at,
        moment.decided_at + timedelta(seconds=3 * STEP_S),
        current,
        raw,
        desired,
        direction,
        reason,
        "risk" if direction == "up" else None,
        "forecast" if moment.is_model else "trailing_percentile",
        0.01,
        0.0042,
        delta,
        explanation(workload.name, current, raw, desired, direction, reason, moment.table, delta),
    )


def _action(moment: Moment) -> Row:
    workload, current, desired = moment.workload, moment.current, moment.desired
    mode = workload.spec["mode"]
    if workload.is_auto:
        result = "applied" if desired != current else "unchanged"
    elif workload.spec["paused"]:
        result = "paused"
    else:
        result = "awaiting_approval" if mode == "Approval" else "advisory"
    return (
        moment.id,
        moment.at,
        moment.id,
        workload.id,
        1,
        current,
        desired if workload.is_auto else current,
        result,
        f"mode {mode}",
        moment.decided_at,
    )


def _outcome(moment: Moment) -> Row:
    workload, ready, value = moment.workload, moment.ready, moment.value
    gpu_hours = ready * workload.gpus * STEP_S / 3600
    return (
        workload.id,
        moment.at,
        moment.id,
        value,
        float(ready),
        moment.need,
        float(moment.need > ready),
        max(0.0, 1 - ready * workload.capacity / value) if value else 0.0,
        gpu_hours,
        gpu_hours * workload.gpu_price_usd_per_hour,
        moment.decided_at,
        *_measured(moment),
        True,
    )


def is_measured_workload(k: int) -> bool:
    """Of every third workload, the second first, the promise is measured."""
    return k % 3 == 1


def _measured(moment: Moment) -> Row:
    """Requests, the range of the share that missed, and the violation; a step in four has some."""
    if not is_measured_workload(moment.workload.k):
        return (None, None, None, None)
    is_missed = moment.t % MISS_EVERY == 0
    return (REQUESTS, *((0.75 * MISS_HIGH, MISS_HIGH, MISS_HIGH) if is_missed else (0.0, 0.0, 0.0)))


def _replica_state(moment: Moment) -> Row:
    n_pending = max(0, moment.current - moment.ready)
    return (
        moment.workload.id,
        moment.at + timedelta(seconds=STEP_S),
        moment.current,
        moment.ready,
        n_pending,
        0,
        [40.0] * n_pending,
        12,
    )


def _score(moment: Moment) -> Row:
    shift = 0.01 * (moment.workload.k % 3 - 1)
    return (
        moment.id,
        moment.at,
        moment.workload.id,
        moment.model,
        HORIZON,
        0.08,
        {str(q): 0.02 for q in LEVELS},
        {str(q): min(1.0, max(0.0, q + shift)) for q in LEVELS},
        0.104,
        0.23,
        moment.decided_at,
    )


def _copy(connection: Any, table: Any, columns: str, rows: list[Row]) -> None:
    copy_rows(connection, CopyTarget(table, tuple(columns.split()), on_conflict="error"), rows)


def _insert(connection: Any, table: Any, columns: str, rows: list[Row]) -> None:
    """Like `_copy`, for tables with JSON columns."""
    names = columns.split()
    at = names.index("origin_at")
    ensure_partitions(connection, table.name, rows[0][at], rows[-1][at])
    connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])
