"""A workload's past that the trust gate judges, written as decisions and outcomes are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.rows.repository import DECISION_COLUMNS, OUTCOME_COLUMNS
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.stored_indicators import store_indicators

STEP_S = 900
STEP = timedelta(seconds=STEP_S)
DAY = timedelta(days=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
PER_DAY = 96


class Bench:
    """A workload's past, written as decisions and outcomes are, and forecasts to decide on."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.clock = FixedClock(START)
        self.sender = RecordingSender()
        settings = settings.model_copy(update={"step_s": STEP_S})
        self.deps = DecisionDeps(engine, self.clock, settings, sender=self.sender)
        self.n_forecasts = 0

    def workload(self, name: str, shard: int = 0, **changes: Any) -> int:
        spec: dict[str, Any] = {
            "target": "Deployment/w",
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}],
            "capacity": {"per_replica": 10.0},
            "lead_time": {"median_s": 60.0, "sigma": 0.1},
            "max_replicas": 80,
            "sla": {"epsilon": 0.05},
        } | changes
        values = {"name": name, "shard": shard, "step_s": STEP_S, "spec": json.dumps(spec)}
        with self.deps.engine.begin() as connection:
            return connection.execute(
                text(
                    "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                    "updated_at) VALUES ('demo', :name, :shard, :step_s, CAST(:spec AS jsonb), "
                    ":at, :at) RETURNING id"
                ),
                values | {"at": START},
            ).scalar_one()

    def past(
        self,
        workload: int,
        days: tuple[int, int],
        ratio: float,
        *,
        is_shadow: bool = False,
        held: int = 0,
        every: int = 1,
        valid_steps: int = 1,
    ) -> None:
        """Days of outcomes, and of decisions that asked for `ratio` times what was needed.

        One at `every` so many steps, which stands for as many as are valid if no other one comes.

        As the service writes them: a forecast that answered has an estimated risk; one that is not
        trusted left its count in the explanation. With some `held` because spot nodes may go.
        """
        decisions, outcomes = [], []
        for step in range(days[0] * PER_DAY, days[1] * PER_DAY):
            step_at = START + step * STEP
            demand = demand_at(step)
            model = int(np.ceil(ratio * demand / 10.0)) + held
            self.n_forecasts += 1
            explanation: dict[str, Any] = {"model_replicas": model} if is_shadow else {}
            if held:
                explanation |= {"model_held": held} if is_shadow else {"spot": {"held": held}}
            row = {
                "id": 1_000_000 + self.n_forecasts, "origin_at": step_at - STEP,
                "workload_id": workload, "forecast_id": self.n_forecasts,
                "policy_version": "harmony-1", "decided_at": step_at,
                "valid_until": step_at + valid_steps * STEP, "current_replicas": 40,
                "raw_replicas": 77 if is_shadow else model, "desired_replicas": 40,
                "direction": "hold", "reason": "hold_within_risk", "binding_constraint": None,
                "rung": "trailing_percentile" if is_shadow else "model", "risk_target": 0.05,
                "risk_estimated": None if is_shadow else 0.01, "cost_delta_usd_per_h": 0.0,
                "explanation": json.dumps(explanation), "variants": None,
            }  # fmt: skip
            if step % every == 0:
                decisions.append(tuple(row[name] for name in DECISION_COLUMNS))
            outcome = (workload, step_at, None, demand, 40.0, None, 0.0, 0.0, 10.0, 25.0, None)
            outcomes.append((*outcome, step_at, *(None,) * 4, True))
        with self.deps.engine.begin() as connection:
            key = CopyTarget(schema.decisions, DECISION_COLUMNS, "error")
            copy_rows(connection, key, decisions)
            copy_rows(connection, CopyTarget(schema.outcomes, OUTCOME_COLUMNS, "error"), outcomes)
        self.clock.advance((START + days[1] * DAY - self.clock.now()).total_seconds())

    def forecast(self, workload: int, level: float) -> datetime:
        """A forecast at the newest origin, with demand and replicas measured until then."""
        origin_at = self.clock.now() - STEP
        rng = np.random.default_rng(0)
        paths = level * np.exp(0.05 * rng.standard_normal((100, 6)))
        scale = float(np.float32(paths.max()))
        levels = [0.1, 0.5, 0.9]
        self.n_forecasts += 1
        columns = (
            "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
            "n_horizon", "quantile_levels", "quantiles", "n_paths", "paths", "path_scale",
            "created_at",
        )  # fmt: skip
        row = (
            self.n_forecasts, origin_at, workload, "flow-1", "model", "", STEP_S, 6, levels,
            np.quantile(paths, levels, axis=0).tolist(), 100,
            (paths / scale).astype(np.float16).tobytes(), scale, self.clock.now(),
        )  # fmt: skip
        seen = [
            (workload, "request_rate_rps", origin_at - back * STEP, 250.0, True)
            for back in range(40)
        ]
        with self.deps.engine.begin() as connection:
            copy_rows(connection, CopyTarget(schema.forecasts, columns, "error"), [row])
            store_indicators(connection, seen)
            names = (
                "workload_id", "observed_at", "spec_replicas", "ready_replicas",
                "starting_replicas", "pending_replicas", "start_ages_s", "schedulable_gpus",
            )  # fmt: skip
            state = (workload, self.clock.now(), 40, 40, 0, 0, [], 100)
            copy_rows(connection, CopyTarget(schema.replica_states, names, "error"), [state])
        return origin_at

    def decide(self, workload: int, level: float) -> Any:
        origin_at = self.forecast(workload, level)
        assert service.decide_shard(self.deps, 0, origin_at).n_decisions == 1
        statement = text(
            "SELECT d.* FROM decisions d JOIN decision_inputs i ON i.decision_id = d.id "
            "WHERE d.forecast_id = :id"
        )
        with self.deps.engine.connect() as connection:
            return connection.execute(statement, {"id": self.n_forecasts}).mappings().one()

    def verdicts(self) -> dict[int, Any]:
        with self.deps.engine.connect() as connection:
            rows = connection.execute(text("SELECT * FROM trust_verdicts")).mappings()
            return {row["workload_id"]: row for row in rows}


def demand_at(step: int) -> float:
    """A day's wave with luck of its own, the same at every call."""
    wave = 1 + 0.4 * np.sin(2 * np.pi * step / PER_DAY)
    return float(250 * wave * np.exp(0.1 * np.random.default_rng(step).standard_normal()))
