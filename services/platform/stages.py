"""One stage of the pipeline run by hand, in this process: what `harmony ingest` and others call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from services.admin.decisions.schemas import DecisionDetail
from services.admin.decisions.service import get_decision
from services.admin.workloads.schemas import WorkloadView
from services.admin.workloads.service import get_workload
from services.decision.decide.replay import replay
from services.decision.decide.service import decide_shard
from services.decision.wiring import DecisionDeps
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.kernel.clock import Clock, FixedClock, last_complete_step, make_clock
from services.kernel.db.session import check_reachable, make_engine, unit_of_work
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from services.operator.reconcile.repository import register
from services.platform.repository import (
    load_active_shards,
    load_decisions_at,
    load_forecasts_at,
    load_newest_step,
    load_workload_ids,
)
from services.simulator.fleet import TraceOptions
from services.simulator.measurements import ColumnChoice, load_trace


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Result of `harmony ingest`."""

    n_workloads: int
    n_rows: int
    n_observed: int
    dropped: tuple[str, ...]


def ingest_trace(settings: Settings, file: Path, demand: str | None, now: datetime) -> IngestReport:
    """Register a trace's workloads in Advisory mode and store all of it as history.

    Raises:
        InvalidInput: The file cannot be used.
    """
    loaded = load_trace(file, TraceOptions(replay_hours=1.0), ColumnChoice(demand=demand))
    fleet = loaded.fleet
    engine = make_engine(settings.database_url, cluster=settings.cluster)
    rows = [
        {
            "namespace": workload.namespace,
            "name": workload.name,
            "step_s": fleet.step_s,
            "spec": workload.to_spec(mode="Advisory").model_dump(mode="json"),
        }
        for workload in fleet.workloads
    ]
    with unit_of_work(engine) as work:
        register(work.connection, rows, settings.shard_size, now)
    ids = load_workload_ids(engine)
    frame = HistoryFrame(
        start_at=fleet.step_at(0),
        step_s=fleet.step_s,
        workloads=tuple(
            WorkloadHistory(
                tuple(indicator.name for indicator in workload.indicators),
                fleet.values[i],
                fleet.observed[i],
            )
            for i, workload in enumerate(fleet.workloads)
        ),
    )
    result = backfill(engine, [ids[workload.key] for workload in fleet.workloads], frame)
    dropped = tuple(f"{drop.workload}: {drop.reason}" for drop in loaded.dropped)
    return IngestReport(fleet.n_workloads, result.n_rows, result.n_observed, dropped)


def origin_of(settings: Settings, at: datetime | None) -> datetime:
    """The origin asked for, or the newest step that has been measured.

    Raises:
        NotFound: Nothing has been measured yet.
    """
    if at is not None:
        return last_complete_step(at, settings.step_s)
    newest = load_newest_step(make_engine(settings.database_url))
    if newest is None:
        raise NotFound("no indicators are stored yet; push some, or run `harmony ingest FILE`")
    return newest


def forecast_now(settings: Settings, origin_at: datetime) -> list[dict[str, Any]]:
    """Forecast every shard at an origin; forecasts that are there already stay."""
    from services.forecasting.deps import make_forecasting
    from services.forecasting.forecast.service import forecast_shard

    engine = make_engine(settings.database_url)
    app = make_forecasting(settings, RecordingSender(), FixedClock(origin_at))
    for shard in load_active_shards(engine):
        forecast_shard(app, shard, origin_at)
    return load_forecasts_at(engine, origin_at)


def decide_now(settings: Settings, origin_at: datetime) -> list[dict[str, Any]]:
    """Decide every shard at an origin that has been forecast; what is decided stays decided."""
    deps = _decision_deps(settings)
    for shard in load_active_shards(deps.engine):
        decide_shard(deps, shard, origin_at)
    return load_decisions_at(deps.engine, origin_at)


@dataclass(frozen=True, slots=True)
class ExplainedDecision:
    """A decision with what led to it, its workload, and the time of the data when it was read."""

    detail: DecisionDetail
    workload: WorkloadView
    now: datetime


@dataclass(frozen=True, slots=True)
class StoredReads:
    """Reads of a command that has the database itself, and no server."""

    engine: Engine
    clock: Clock

    def reading(self) -> Connection:
        """A connection for reads."""
        return self.engine.connect()


def explain_decision(settings: Settings, what: str) -> ExplainedDecision:
    """A decision by its id, or the newest one of a workload, `namespace/name`.

    Raises:
        InvalidInput: It reads like neither.
        NotFound: There is none.
    """
    engine = make_engine(settings.database_url)
    check_reachable(engine)
    reads = StoredReads(engine, make_clock(settings.clock, settings.redis_url))
    if what.isascii() and what.isdigit() and 0 < int(what) < 2**63:
        detail = get_decision(reads, int(what))
        owner = get_workload(reads, detail.namespace, detail.workload)
        return ExplainedDecision(detail, owner, reads.clock.now())
    namespace, slash, name = what.partition("/")
    if not slash or not namespace or not name:
        raise InvalidInput(
            f"{what[:80]!r}: must be a decision's id, e.g. 4711, or a workload as NAMESPACE/NAME"
        )
    workload = get_workload(reads, namespace, name)
    if workload.last_decision is None:
        raise NotFound(f"workload {what} has no decision yet; see `harmony status`")
    detail = get_decision(reads, workload.last_decision.id)
    return ExplainedDecision(detail, workload, reads.clock.now())


def replay_decision(settings: Settings, decision_id: int) -> dict[str, Any]:
    """Make a decision again from its stored inputs and compare the bytes.

    Raises:
        NotFound: There is none with this id.
        Conflict: What it was made from is not kept any more.
    """
    report = replay(_decision_deps(settings), decision_id)
    return {
        "id": decision_id,
        "is_identical": report.is_identical,
        "stored_sha256": report.stored_sha256,
        "replayed_sha256": report.replayed_sha256,
        "decision": report.record,
    }


def _decision_deps(settings: Settings) -> DecisionDeps:
    engine: Engine = make_engine(settings.database_url)
    return DecisionDeps(engine, make_clock(settings.clock, settings.redis_url), settings)
