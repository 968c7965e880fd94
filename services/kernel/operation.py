"""Carrying out an operation: claimed, reported on, cancelled or finished, each in a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from services.kernel.clock import Clock
from services.kernel.db.operations import (
    Claimed,
    OperationEnd,
    claim_operation,
    drop_old_events,
    finish_operation,
    load_lost,
    report_operation,
    whose_turn,
)
from services.kernel.db.session import unit_of_work
from services.kernel.errors import HarmonyError
from services.kernel.jobs import OPERATION_JOBS, Job, JobSender
from services.kernel.telemetry import get_logger

Tell = Callable[[str, float], None]
"""Called with what is being done and the share done, 0..1; raises `OperationStopped`."""


class OperationStopped(Exception):
    """The operation is to be cancelled, or another worker has taken it."""


def run_operation(
    engine: Engine,
    wall: Clock,
    operation_id: int,
    work: Callable[[Claimed, Tell], dict[str, Any]],
) -> None:
    """Claim an operation, do the work and store its result, or why there is none.

    Args:
        engine: Database.
        wall: Wall clock: heartbeats are of real time, also in a replay.
        operation_id: The operation, or one of its kind whose turn is earlier; one that is done or
            in work is left alone.
        work: Given the operation and a way to report progress; returns the result.
    """
    with unit_of_work(engine) as unit:
        next_id = whose_turn(unit.connection, operation_id)
        claimed = claim_operation(unit.connection, next_id, wall.now())
    if claimed is None:
        return

    def report(message: str, progress: float) -> None:
        with unit_of_work(engine) as unit:
            if not report_operation(unit.connection, claimed, progress, message, wall.now()):
                raise OperationStopped

    try:
        end = OperationEnd("succeeded", "done", work(claimed, report))
    except OperationStopped:
        end = OperationEnd("cancelled", "cancelled")
    except HarmonyError as error:
        end = OperationEnd("failed", error.message)
    except Exception as error:  # any defect: stored for whoever waits for the result, then raised
        _finish(engine, wall, claimed, OperationEnd("failed", f"{type(error).__name__}: {error}"))
        raise  # counted and logged by the worker
    _finish(engine, wall, claimed, end)


def _finish(engine: Engine, wall: Clock, claimed: Claimed, end: OperationEnd) -> None:
    with unit_of_work(engine) as unit:
        is_mine = finish_operation(unit.connection, claimed, end, wall.now())
    log = get_logger(__name__)
    log.info("operation", id=claimed.id, kind=claimed.kind, status=end.status, stored=is_mine)


def resend_lost(engine: Engine, wall: Clock, sender: JobSender | None) -> int:
    """Send the job of every operation that lost it; returns how many. Old events are dropped."""
    with unit_of_work(engine, sender) as unit:
        drop_old_events(unit.connection)
        rows = load_lost(unit.connection, wall.now())
        for row in rows:
            unit.send_after_commit(Job(OPERATION_JOBS[row["kind"]], {"operation_id": row["id"]}))
    return len(rows)
