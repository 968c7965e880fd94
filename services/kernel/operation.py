"""Carrying out an operation: claimed, reported on, cancelled or finished, each in a transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from services.kernel.clock import Clock
from services.kernel.db.operations import (
    Claimed,
    OperationEnd,
    beat_operation,
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
from services.kernel.server_errors import is_of_the_server
from services.kernel.telemetry import get_logger

BEAT_S = 20.0
"""Between two heartbeats: several are lost before a worker is taken for dead."""
LONGEST_STAGE_S = 4 * 3600.0
"""Without a report for so long the work is stuck: its heart stops, and another worker tries."""
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

    heart = _Heart(engine, wall, claimed)

    def report(message: str, progress: float) -> None:
        heart.note_report()
        with unit_of_work(engine) as unit:
            if not report_operation(unit.connection, claimed, progress, message, wall.now()):
                raise OperationStopped

    try:
        with heart.beating():
            end = OperationEnd("succeeded", "done", work(claimed, report))
    except OperationStopped:
        end = OperationEnd("cancelled", "cancelled")
    except HarmonyError as error:
        end = OperationEnd("failed", error.message)
    except Exception as error:  # any defect: stored for whoever waits for the result, then raised
        _finish(engine, wall, claimed, OperationEnd("failed", _told(error)))
        raise  # counted and logged by the worker
    _finish(engine, wall, claimed, end)


def _told(error: Exception) -> str:
    """A defect for who asked: of the database neither its address nor a statement and its values.

    Who may see the operation may see one namespace only; the log has all of it.
    """
    name = type(error).__name__
    if not isinstance(error, SQLAlchemyError | psycopg.Error):
        return f"{name}: {error}"
    if is_of_the_server(error):
        return "the database failed meanwhile; ask for it once more when it is well"
    return f"{name}: a defect; the worker's log says more"


class _Heart:
    """Says that a worker lives while its work is too long at one stage to report."""

    def __init__(self, engine: Engine, wall: Clock, claimed: Claimed) -> None:
        self._engine, self._wall, self._claimed = engine, wall, claimed
        self._reported_s = time.monotonic()
        self._ended = threading.Event()

    def note_report(self) -> None:
        """The work goes on."""
        self._reported_s = time.monotonic()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat beside what is done meanwhile."""
        thread = threading.Thread(target=self._run, name="heart", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(BEAT_S):
            if time.monotonic() - self._reported_s > LONGEST_STAGE_S:
                return
            try:
                with unit_of_work(self._engine) as unit:
                    if not beat_operation(unit.connection, self._claimed, self._wall.now()):
                        return
            except SQLAlchemyError as error:  # the next beat may come through
                why = str(error)[:200]
                get_logger(__name__).warning("no_heartbeat", id=self._claimed.id, error=why)


def _finish(engine: Engine, wall: Clock, claimed: Claimed, end: OperationEnd) -> None:
    with unit_of_work(engine) as unit:
        is_mine = finish_operation(unit.connection, claimed, end, wall.now())
    log = get_logger(__name__)
    log.info("operation", id=claimed.id, kind=claimed.kind, status=end.status, stored=is_mine)


def resend_lost(engine: Engine, wall: Clock, sender: JobSender | None) -> int:
    """Send the job of every operation that lost it; returns how many. Old events are dropped.

    Those of a kind that only a later release knows are left to that one.
    """
    with unit_of_work(engine, sender) as unit:
        drop_old_events(unit.connection)
        rows = load_lost(unit.connection, OPERATION_JOBS, wall.now())
        for row in rows:
            unit.send_after_commit(Job(OPERATION_JOBS[row["kind"]], {"operation_id": row["id"]}))
    return len(rows)
