"""Workloads that a stage could not handle with the others: stored, counted, told."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from services.kernel import telemetry
from services.kernel.db.bulkhead import PartsDone, Result, SetApart, in_parts
from services.kernel.db.session import UnitOfWork
from services.kernel.telemetry import get_logger

INGEST, RESAMPLE, FORECAST = "ingest", "resample", "forecast"
DECIDE, SCORE = "decide", "score"
HISTORY = "history"
PULL = "pull"
SOURCE = "source"
LATE = "late"
_LONGEST_MESSAGE = 300
_CLEAR = text(
    "DELETE FROM workload_errors WHERE stage = :stage AND workload_id = ANY(CAST(:ids AS int[]))"
)


def in_bulkheads(
    work: UnitOfWork,
    stage: str,
    ids: Sequence[int],
    do: Callable[[Sequence[int]], Result],
    at: datetime,
) -> PartsDone[int, Result]:
    """Do a stage for workloads so that one that fails stops none of the others.

    Those that failed last time are done alone at once, so that the others are not done twice for
    them. Who fails is remembered, counted and logged; who no longer does is forgotten.

    Args:
        work: The transaction.
        stage: One of this module's stages.
        ids: Workloads.
        do: Does the stage for some of them; see `in_parts`.
        at: Now.
    """
    failing = _load_failing(work.connection, stage, ids)
    well = [id_ for id_ in ids if id_ not in failing]
    groups = [well, *([id_] for id_ in ids if id_ in failing)]
    parts = [in_parts(work, group, do) for group in groups]
    apart = [one for part in parts for one in part.apart]
    # who did not fail last time has nothing to be forgotten, nearly always all of them
    noted = [id_ for id_ in ids if id_ in failing]
    note_errors(work.connection, stage, noted, {one.item: one for one in apart}, at)
    return PartsDone(tuple(result for part in parts for result in part.results), tuple(apart))


def note_errors(
    connection: Connection,
    stage: str,
    handled: Sequence[int],
    apart: Mapping[int, SetApart[int]],
    at: datetime,
) -> None:
    """Remember who failed alone, and forget the failures of those that are well again.

    Args:
        connection: An open transaction.
        stage: One of this module's stages.
        handled: Workloads whose failures may be remembered and that the stage was run for, those
            set apart included.
        apart: Those that failed, by id.
        at: Now.
    """
    well = [id_ for id_ in handled if id_ not in apart]
    if well:
        _clear(connection, stage, well)
    statement = text(
        "INSERT INTO workload_errors (workload_id, stage, message, since, last_at) "
        "SELECT id, :stage, message, :at, :at FROM unnest(CAST(:ids AS int[]), "
        "CAST(:messages AS text[])) AS found(id, message) ORDER BY id "
        "ON CONFLICT (workload_id, stage) DO UPDATE SET message = EXCLUDED.message, "
        "last_at = EXCLUDED.last_at"
    )
    if not apart:
        return
    messages = {id_: error_message(one.error) for id_, one in apart.items()}
    connection.execute(
        statement,
        {"stage": stage, "ids": list(messages), "messages": list(messages.values()), "at": at},
    )
    log = get_logger("bulkhead")
    for id_, one in apart.items():
        telemetry.workload_errors_total.labels(stage).inc()
        log.error(
            "set_apart", stage=stage, workload_id=id_, error=messages[id_], at=_place(one.error)
        )


def _load_failing(connection: Connection, stage: str, ids: Sequence[int]) -> frozenset[int]:
    """Those of the workloads that the stage failed for when it last ran."""
    statement = text(
        "SELECT workload_id FROM workload_errors WHERE stage = :stage AND workload_id = ANY(:ids)"
    )
    return frozenset(connection.scalars(statement, {"stage": stage, "ids": list(ids)}))


def error_message(error: Exception) -> str:
    """An error in one line, without the statement and the parameters that a driver adds."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:_LONGEST_MESSAGE]


def _place(error: Exception) -> str:
    """File and line that raised it: a whole traceback each step says no more."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _clear(connection: Connection, stage: str, ids: Sequence[int]) -> None:
    # as text: the driver takes many times as long for a list
    listed = f"{{{','.join(map(str, ids))}}}"
    connection.execute(_CLEAR, {"stage": stage, "ids": listed})
