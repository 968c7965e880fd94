"""No value and no spec that admission lets in keeps another workload from its decision.

The whole way of a shard, in this process: history, pushes, resampling, forecasts, decisions,
outcomes and scores, with one workload of a spec and of samples at the edges of what is let in
between two ordinary ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import (
    HealthCheck,
    event as hypothesis_event,
    example,
    given,
    settings as hypothesis_settings,
    strategies as st,
)
from sqlalchemy import Engine, text

from services.decision.decide.service import decide_shard
from services.decision.wiring import DecisionDeps
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast.service import forecast_shard
from services.forecasting.score.service import score_forecasts
from services.ingest import service as ingest
from services.ingest.deps import IngestDeps
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.ingest.push.service import push
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.domain import WorkloadSpec
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from services.operator.reconcile.repository import register
from tests.integration.platform.hostile_specs import (
    HEAT,
    RATE,
    TOKENS,
    VALUES,
    specs,
    to_workload,
)

pytestmark = pytest.mark.integration
STEP_S, N_HISTORY, N_STEPS = 60, 30, 3
STEP = timedelta(seconds=STEP_S)
START = datetime(2026, 1, 5, tzinfo=UTC)
STATE_COLUMNS = (
    "workload_id",
    "observed_at",
    "spec_replicas",
    "ready_replicas",
    "starting_replicas",
    "pending_replicas",
    "start_ages_s",
)
NAMES = (RATE, TOKENS, HEAT)
ORDINARY: dict[str, Any] = {
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"},
    "gpuType": "H100",
    "maxReplicas": 40,
    "sla": {"risk": {"epsilon": "0.01", "kind": "TimeFraction", "window": "28d"}},
    "demand": RATE,
    "indicators": [{"name": name, "level": 1} for name in NAMES],
    "capacity": {"perReplica": "10"},
}
TINY = ORDINARY | {"capacity": {"perReplica": "0.00000001"}}
FAR_APART = {name: ORDINARY[name] for name in ORDINARY if name not in ("scaleTargetRef", "gpuType")}
FAR_APART |= {
    "minReplicas": 50_000,
    "maxReplicas": 100_000,
    "variants": [
        {
            "name": name,
            "gpuType": name.upper(),
            "capacity": {"perReplica": per_replica},
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        }
        for name, per_replica in (("h", "9" * 31), ("l", "0." + "0" * 20 + "1"))
    ],
}


@dataclass(frozen=True, slots=True)
class Shard:
    """Three workloads, the middle one strange, and the services' dependencies."""

    engine: Engine
    clock: FixedClock
    settings: Settings

    def fill(self, strange: WorkloadSpec, values: list[float], ready: int) -> None:
        """Register and give a history; of the strange one as it may have been stored before."""
        ordinary = to_workload(ORDINARY)
        assert ordinary is not None
        rows = [
            {
                "namespace": "shop",
                "name": name,
                "step_s": STEP_S,
                "spec": spec.model_dump(mode="json"),
            }
            for name, spec in (("a", ordinary), ("strange", strange), ("z", ordinary))
        ]
        with self.engine.begin() as connection:
            connection.execute(text("TRUNCATE workloads, forecasts, decisions CASCADE"))
            connection.execute(text("TRUNCATE shard_turns, superseded_origins, gpu_shares"))
            for table in ("indicator_steps", "observations", "replica_states", "outcomes"):
                connection.execute(text(f"TRUNCATE {table}"))
        with self.engine.begin() as connection:
            register(connection, rows, 500, START)
            ids = list(connection.scalars(text("SELECT id FROM workloads ORDER BY id")))
            connection.execute(text("UPDATE workloads SET shard = 0"))
            at = self.clock.now()
            states = [(id_, at, ready, ready, 0, 0, []) for id_ in ids]
            copy_rows(connection, CopyTarget(schema.replica_states, STATE_COLUMNS, "error"), states)
        wave = 60 + 20 * np.sin(np.arange(N_HISTORY) / 5)
        calm = np.stack([wave, wave * 50, wave], axis=1)
        wild = np.resize(np.array(values), (N_HISTORY, len(NAMES)))
        observed = np.ones(calm.shape, dtype=bool)
        history = tuple(WorkloadHistory(NAMES, each, observed) for each in (calm, wild, calm))
        backfill(self.engine, ids, HistoryFrame(START - N_HISTORY * STEP, STEP_S, history))

    def step(self, number: int, values: list[float]) -> datetime:
        """One step of the pipeline; its origin."""
        at = START.timestamp() + number * STEP_S
        offsets = (10, 30, 50)
        calm = [[at + offset, 60.0 + number] for offset in offsets]
        wild = [[at + o, str(v)] for o, v in zip(offsets, values, strict=True)]
        samples = {"a": calm, "strange": wild, "z": calm}
        observations = [
            {"namespace": "shop", "workload": name, "indicator": indicator, "samples": found}
            for name, found in samples.items()
            for indicator in NAMES
        ]
        self.clock.advance(STEP_S)
        deps = IngestDeps(self.engine, self.clock, RecordingSender(), self.settings)
        push(deps, orjson.dumps({"observations": observations}))
        ingest.resample_shard(deps, 0, self.clock.now())
        origin_at = START + number * STEP
        app = make_forecasting(self.settings, RecordingSender(), self.clock)
        forecast_shard(app, 0, origin_at)
        decisions = DecisionDeps(self.engine, self.clock, self.settings, sender=RecordingSender())
        decide_shard(decisions, 0, origin_at)
        score_forecasts(app)
        return origin_at

    def lacking(self, origins: list[datetime]) -> set[tuple[str, datetime, str]]:
        """Forecasts and decisions of ordinary workloads that are not there."""
        found = set()
        with self.engine.connect() as connection:
            for table in ("forecasts", "decisions"):
                statement = text(
                    f"SELECT name, origin_at FROM {table} JOIN workloads w ON w.id = workload_id"
                )
                found |= {(row.name, row.origin_at, table) for row in connection.execute(statement)}
        wanted = {
            (name, at, table)
            for name in ("a", "z")
            for at in origins
            for table in ("forecasts", "decisions")
        }
        return wanted - found

    def apart(self) -> list[str]:
        """Names of the workloads that a stage has set apart."""
        with self.engine.connect() as connection:
            statement = text(
                "SELECT DISTINCT name FROM workload_errors JOIN workloads w ON w.id = workload_id"
            )
            return list(connection.scalars(statement))


@hypothesis_settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    written=specs(),
    history=st.lists(VALUES, min_size=1, max_size=5),
    values=st.lists(VALUES, min_size=3, max_size=3),
    ready=st.sampled_from([0, 1, 40, 2**31 - 1]),
)
@example(written=TINY, history=[100.0], values=[9e18, 100.0, 100.0], ready=1)
@example(written=ORDINARY, history=[1e300], values=[9e18] * 3, ready=1)
@example(written=FAR_APART, history=[100.0], values=[100.0] * 3, ready=1)
def test_nothing_that_is_let_in_keeps_another_workload_from_its_decision(
    database: Engine,
    settings: Settings,
    written: dict[str, Any],
    history: list[float],
    values: list[float],
    ready: int,
) -> None:
    strange = to_workload(written)
    hypothesis_event(f"admitted: {strange is not None}")
    if strange is None:
        return
    small = settings.model_copy(
        update={"step_s": STEP_S, "n_paths": 40, "grace_s": 0.0, "horizon_steps": 6}
    )
    shard = Shard(database, FixedClock(START), small)
    shard.fill(strange, history, ready)

    origins = [shard.step(number, values) for number in range(N_STEPS)]

    assert shard.lacking(origins) == set()
    assert set(shard.apart()) <= {"strange"}
