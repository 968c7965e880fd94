"""One stage of the pipeline run by hand, in this process: what `harmony ingest` and others call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine

from services.admin.decisions.schemas import DecisionDetail
from services.admin.decisions.service import get_decision
from services.admin.workloads.schemas import WorkloadView
from services.admin.workloads.service import get_workload
from services.decision.decide.replay import replay
from services.decision.decide.service import decide_shard
from services.decision.wiring import DecisionDeps
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, write_history
from services.ingest.series.samples import Rejection
from services.kernel.clock import Clock, FixedClock, last_complete_step, make_clock
from services.kernel.db.session import check_reachable, make_engine, unit_of_work
from services.kernel.domain.workload import EXTERNAL
from services.kernel.errors import Conflict, InvalidInput, NotFound
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from services.platform.repository import (
    cluster_engine,
    load_active_shards,
    load_decisions_at,
    load_forecasts_at,
    load_newest_steps,
    store_workloads,
)
from services.simulator.fleet import Fleet, whole_fleet_of
from services.simulator.measurements import ColumnChoice, read_file


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Result of `harmony ingest`.

    Attributes:
        dropped: Services that were left out, and why.
        rejected: Values that were not stored, by reason.
        n_expiring: Steps that lie further back than what is kept: the next clean-up drops them.
    """

    n_workloads: int
    n_rows: int
    n_observed: int
    dropped: tuple[str, ...]
    rejected: tuple[Rejection, ...] = ()
    n_expiring: int = 0


def ingest_trace(settings: Settings, file: Path, demand: str | None, now: datetime) -> IngestReport:
    """Register a trace's workloads in Advisory mode and store all of it as history.

    Nothing is replayed, so none is left out for beginning late or ending early: those only that
    have no demand to take the size of a replica from. They are as workloads made over REST, so an
    operator leaves them alone. A file that is given again replaces their specs.

    Raises:
        InvalidInput: The file cannot be used, or has steps that are still to come.
        Conflict: A workload of one of the names follows a GPUAutoscaler; nothing is stored.
    """
    found = read_file(file, ColumnChoice(demand=demand))
    loaded = whole_fleet_of(found.trace, found.name)
    fleet = loaded.fleet
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
    _refuse_to_come(fleet, now + timedelta(seconds=settings.future_s))
    engine = make_engine(settings.database_url, cluster=settings.cluster)
    with unit_of_work(engine) as work:  # a history that fails leaves no workload without one
        ids = _register(work.connection, fleet, settings, now)
        result = write_history(work.connection, ids, frame)
    dropped = tuple(f"{drop.workload}: {drop.reason}" for drop in loaded.dropped)
    kept_from = now - timedelta(days=settings.retain_indicators_days)
    n_expiring = sum(fleet.step_at(n) < kept_from for n in range(frame.n_steps))
    return IngestReport(
        fleet.n_workloads, result.n_rows, result.n_observed, dropped, result.rejected, n_expiring
    )


def _refuse_to_come(fleet: Fleet, latest: datetime) -> None:
    """Refuse a history of times to come: what is measured by then would count as late, or as known.

    Raises:
        InvalidInput: It has such steps.
    """
    steps = np.flatnonzero(fleet.observed.any(axis=(0, 2)))
    ahead = [n for n in steps.tolist() if fleet.step_at(n) > latest]
    if ahead:
        first, last = (
            fleet.step_at(n).isoformat(timespec="minutes") for n in (ahead[0], ahead[-1])
        )
        raise InvalidInput(
            f"{len(ahead)} steps, {first} to {last}, are still to come: times without a zone are "
            "read as UTC; correct the file's times, or leave these steps out"
        )


def _register(connection: Connection, fleet: Fleet, settings: Settings, now: datetime) -> list[int]:
    """Store the workloads of a trace; their ids, in their order.

    Raises:
        Conflict: One of the names belongs to a GPUAutoscaler.
    """
    rows = []
    for one in fleet.workloads:
        spec = one.to_spec(mode="Advisory")
        # as REST makes them: nobody's target, and sent back by PUT as GET shows it
        spec = spec.model_copy(update={"target": f"{EXTERNAL}/{one.name}", "kind": "service"})
        key = {"namespace": one.namespace, "name": one.name}
        rows.append({**key, "step_s": fleet.step_s, "spec": spec.model_dump(mode="json")})
    ids = store_workloads(connection, rows, settings.shard_size, now)
    for one in fleet.workloads:
        if (one.namespace, one.name) not in ids:
            raise Conflict(
                f"workload {one.key} follows GPUAutoscaler {one.name} in namespace "
                f"{one.namespace}: give the series of the trace another name, or delete the object"
            )
    return [ids[one.namespace, one.name] for one in fleet.workloads]


def origins_of(settings: Settings, at: datetime | None, now: datetime) -> dict[int, datetime]:
    """The origin at a time, or of the newest step measured, by the length of a service's steps, s.

    Raises:
        NotFound: Nothing has been measured yet.
        InvalidInput: The time lies ahead. What is forecast and decided for an origin stays, so the
            workers would do nothing when that time has come.
    """
    newest = load_newest_steps(make_engine(settings.database_url))
    measured = {step_s: step_at for step_s, step_at in newest.items() if step_at is not None}
    if at is not None:
        # what was measured may be of a later year: a demo replays another one
        latest = max([now, *measured.values()])
        if at > latest:
            known = latest.isoformat(timespec="seconds")
            raise InvalidInput(f"at={at.isoformat()}: must not lie ahead of {known}")
        lengths_s = list(newest) or [settings.step_s]
        return {step_s: last_complete_step(at, step_s) for step_s in lengths_s}
    if not measured:
        raise NotFound("no indicators are stored yet; push some, or run `harmony ingest FILE`")
    return measured


def forecast_now(settings: Settings, origins: Mapping[int, datetime]) -> list[dict[str, Any]]:
    """Forecast every shard at the origins; forecasts that are there already stay.

    Args:
        settings: Where the database is.
        origins: By length of steps, s. Where those of one length begin one of another, the services
            of both are forecast there; each is shown at its own.
    """
    from services.forecasting.deps import make_forecasting
    from services.forecasting.forecast.service import forecast_shard

    engine = make_engine(settings.database_url)
    for origin_at in sorted(set(origins.values())):
        app = make_forecasting(settings, RecordingSender(), FixedClock(origin_at))
        for shard in load_active_shards(engine):
            forecast_shard(app, shard, origin_at)
    return load_forecasts_at(engine, origins)


def decide_now(settings: Settings, origins: Mapping[int, datetime]) -> list[dict[str, Any]]:
    """Decide every shard at origins that have been forecast; what is decided stays decided."""
    deps = _decision_deps(settings)
    for origin_at in sorted(set(origins.values())):
        for shard in load_active_shards(deps.engine):
            decide_shard(deps, shard, origin_at)
    return load_decisions_at(deps.engine, origins)


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

    An id is of any cluster; a name is of `HARMONY_CLUSTER`.

    Raises:
        InvalidInput: It reads like neither.
        NotFound: There is none.
    """
    clock = make_clock(settings.clock, settings.redis_url)
    if what.isascii() and what.isdigit() and 0 < int(what) < 2**63:
        engine = make_engine(settings.database_url)
        check_reachable(engine)
        detail = get_decision(StoredReads(engine, clock), int(what))
        settings = settings.model_copy(update={"cluster": detail.cluster})
        reads = StoredReads(cluster_engine(settings), clock)
        owner = get_workload(reads, detail.namespace, detail.workload)
        return ExplainedDecision(detail, owner, clock.now())
    namespace, slash, name = what.partition("/")
    if not slash or not namespace or not name:
        raise InvalidInput(
            f"{what[:80]!r}: must be a decision's id, e.g. 4711, or a workload as NAMESPACE/NAME"
        )
    reads = StoredReads(cluster_engine(settings), clock)
    workload = get_workload(reads, namespace, name)
    if workload.last_decision is None:
        raise NotFound(f"workload {what} has no decision yet; see `harmony status`")
    detail = get_decision(reads, workload.last_decision.id)
    return ExplainedDecision(detail, workload, clock.now())


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
