"""The stored history that a measurement starts on: the only module that knows tables for it.

Rows are as many and as wide as those of a fleet that has run for so long, under the retention of
the settings: what would have been dropped is not there. Paths of forecasts and inputs of decisions,
which nothing reads of a finished step, are left out, and raw samples before the newest hours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Connection, Engine, text

from forecaster import ForecasterConfig, InputDriftConfig, Series, model_to_bytes
from forecaster.config import TrainConfig
from forecaster.training.fit import fit
from services.forecasting.deps import make_forecasting
from services.forecasting.online.repository import DriftRow, save_drift
from services.forecasting.rows.repository import load_workloads
from services.forecasting.score.drift import DriftWatch, window_steps
from services.ingest.retention import retention
from services.kernel.clock import FixedClock, make_rng
from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.session import unit_of_work
from services.kernel.domain import IndicatorSpec
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from services.lab.bench.api.repository import INDICATORS, StoredHistory, store_history
from services.lab.bench.fleet.objectives_repository import add_objectives
from services.lab.bench.fleet.repository import begin

END_AT = datetime(2026, 1, 12, tzinfo=UTC)
GPUS_EACH = 40
"""Of the budgets, for each workload: they hold, and do not bind."""
EIGHT = (
    *INDICATORS,
    IndicatorSpec(name="sm_active_ratio", level=3, unit="ratio"),
    IndicatorSpec(name="kv_cache_usage_ratio", level=2, unit="ratio"),
    IndicatorSpec(name="concurrency_requests", level=1, unit="requests"),
    IndicatorSpec(name="ttft_p95_ms", level=1, unit="ms"),
    IndicatorSpec(name="power_watts", level=3, unit="W"),
)
_GPU_TYPES = ("H100", "A100", "L4")
_RAW_HOURS = 2
CONFIG = ForecasterConfig(train=TrainConfig(max_windows=512, epochs=1, flow_epochs=1))
"""Of the model that serves: the product's in size, the network trained for one short epoch."""
_MODEL = "harmony-flow-3"
"""Version of the model that the stored forecasts name."""


def start_history(
    engine: Engine,
    settings: Settings,
    size: StoredHistory,
    tell: Callable[[str], None],
    objectives: float = 0.0,
) -> None:
    """Store a fleet with its history, a model that serves, and what the next step needs.

    One workload in ten is gold, four are silver, five bronze; they run on three types of GPU, each
    under a budget. A share of them (`objectives`) says what requests are to feel.
    """
    kept = {table: span / timedelta(days=1) for table, span in retention(settings).items()}
    tell("training a model")
    artifact = _small_training(settings.seed)
    whole = replace(size, indicators=EIGHT, kept=kept, shard_size=settings.shard_size)
    store_history(engine, whole, tell)
    with unit_of_work(engine) as work:
        _spread(work.connection)
        add_objectives(work.connection, objectives, size.end_at, settings.seed)
        begin(work.connection, size.end_at, GPUS_EACH * size.n_workloads)
        _add_budgets(work.connection, size)
        _add_samples(work.connection, size)
        _add_model(work.connection, artifact, size.end_at)
    tell("what the model has seen")
    store_references(engine, settings, _MODEL, size.end_at)


def _spread(connection: Connection) -> None:
    """Give the workloads classes and types of GPU."""
    connection.execute(
        text(
            "UPDATE workloads w SET spec = w.spec || jsonb_build_object('gpu_type', "
            "(CAST(:types AS text[]))[1 + w.id % 3], 'sla', (w.spec -> 'sla') || "
            "CASE WHEN w.id % 10 = 0 THEN CAST(:gold AS jsonb) "
            "WHEN w.id % 10 < 5 THEN CAST(:silver AS jsonb) ELSE CAST(:bronze AS jsonb) END)"
        ),
        {
            "types": list(_GPU_TYPES),
            "gold": '{"sla_class": "gold", "priority": 200}',
            "silver": '{"sla_class": "silver", "priority": 100}',
            "bronze": '{"sla_class": "bronze", "priority": 50}',
        },
    )
    connection.execute(
        text(
            "UPDATE pod_starts p SET gpu_type = w.spec ->> 'gpu_type' FROM workloads w "
            "WHERE w.id = p.workload_id AND p.gpu_type <> w.spec ->> 'gpu_type'"
        )
    )


def _add_budgets(connection: Connection, size: StoredHistory) -> None:
    for gpu_type in _GPU_TYPES[1:]:
        connection.execute(
            text(
                "INSERT INTO gpu_budgets (gpu_type, gpus, source, observed_at) "
                "VALUES (:type, :gpus, 'GPUBudget/bench', :at)"
            ),
            {"type": gpu_type, "gpus": GPUS_EACH * size.n_workloads, "at": size.end_at},
        )


def _add_samples(connection: Connection, size: StoredHistory) -> None:
    """Raw samples of the newest hours."""
    step = timedelta(seconds=size.step_s)
    first = size.end_at - max(step, timedelta(hours=_RAW_HOURS))
    ensure_partitions(connection, "observations", first, size.end_at)
    connection.execute(
        text(
            "INSERT INTO observations (workload_id, indicator, observed_at, value) "
            "SELECT w.id, i.name, s.at, 7200 FROM workloads w "
            "CROSS JOIN unnest(CAST(:names AS text[])) AS i(name) CROSS JOIN generate_series("
            "CAST(:first AS timestamptz), CAST(:last AS timestamptz), CAST(:step AS interval)) "
            "AS s(at)"
        ),
        {
            "names": [one.name for one in EIGHT],
            "first": first + step / 2,
            "last": size.end_at - step / 2,
            "step": step,
        },
    )


def _add_model(connection: Connection, artifact: bytes, at: datetime) -> None:
    connection.execute(
        text(
            "INSERT INTO models (version, kind, status, config, metrics, artifact, created_at, "
            "promoted_at) VALUES (:version, 'flow', 'promoted', '{}', '{}', :artifact, :at, :at)"
        ),
        {"version": _MODEL, "artifact": artifact, "at": at},
    )


def _small_training(seed: int) -> bytes:
    """A network and trees of the product's size; what they have learned does not matter here."""
    steps = np.arange(1200)
    series = []
    for number in range(4):
        rng = make_rng(seed, "bench", "fleet", number)
        demand = 900 * (8 + 4 * np.sin(steps / 40.0 + number)) + rng.normal(0, 50, len(steps))
        values = np.repeat(demand[:, None], len(EIGHT), axis=1).astype(np.float32)
        names, levels = tuple(one.name for one in EIGHT), tuple(one.level for one in EIGHT)
        is_seen = np.ones(values.shape, dtype=bool)
        series.append(Series(f"wave{number}", values, is_seen, names, levels, 0, 0, 300))
    return model_to_bytes(fit(series, CONFIG, seed).model)


def store_references(engine: Engine, settings: Settings, version: str, at: datetime) -> None:
    """Describe what a model has seen of every workload, which is done once for each model.

    Measured cycles are not to pay for it.

    Args:
        engine: Of the database with the history.
        settings: Those of the fleet; all its workloads have their step.
        version: The model that serves.
        at: When it was registered.
    """
    app = make_forecasting(settings, RecordingSender(), FixedClock(at))
    config = InputDriftConfig(window=window_steps(settings, settings.step_s))
    with unit_of_work(engine) as work:
        workloads = load_workloads(work.connection)
        watch = DriftWatch(app, work.connection, version, {one.id: one for one in workloads})
        watch.describe(workloads, at, config, len(workloads))
        rows = [DriftRow(id_, state, None, None, None, "") for id_, state in watch.states.items()]
        save_drift(work.connection, version, rows, at)
