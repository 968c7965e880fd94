"""Use case: load history in bulk, straight into the indicators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from services.ingest.push.cursor_repository import CursorMoves, note_samples
from services.ingest.push.service import measure
from services.ingest.series import repository
from services.ingest.series.catalog import WorkloadCatalog, WorkloadRef
from services.ingest.series.samples import (
    IMPLAUSIBLE,
    LARGEST_VALUE,
    NEGATIVE,
    NOT_FINITE,
    OUT_OF_RANGE,
    SECOND_US,
    Mask,
    Rejection,
    Rejections,
    TimeSpan,
    to_us,
)
from services.kernel.db.session import unit_of_work
from services.kernel.db.steps.blocks import GAP, SEEN, StepBlock
from services.kernel.db.steps.writing import copy_new_steps, write_steps
from services.kernel.errors import InvalidInput, NotFound


@dataclass(frozen=True, slots=True)
class WorkloadHistory:
    """History of one workload on the step grid.

    Attributes:
        indicators: Names of the D columns, all in the workload's spec.
        values: (T, D); counters already as rates.
        observed: (T, D); a value that is not observed is not read.
    """

    indicators: tuple[str, ...]
    values: NDArray[np.floating]
    observed: Mask

    def __post_init__(self) -> None:
        """Check the shapes."""
        wanted = (len(self.values), len(self.indicators))
        if self.values.shape != wanted or self.observed.shape != wanted:
            raise InvalidInput(
                f"history: values {self.values.shape} and observed {self.observed.shape} must both "
                f"be (steps, indicators) = {wanted}"
            )


@dataclass(frozen=True, slots=True)
class HistoryFrame:
    """History of W workloads over the same T steps.

    Attributes:
        start_at: Start of the first step, on the grid.
        step_s: Length of a step in seconds.
        workloads: In the order of the workload ids that are given with the frame.
    """

    start_at: datetime
    step_s: int
    workloads: tuple[WorkloadHistory, ...]

    def __post_init__(self) -> None:
        """Check the grid."""
        if self.start_at.tzinfo is None or to_us(self.start_at) % (self.step_s * SECOND_US):
            raise InvalidInput(
                f"history: start_at={self.start_at.isoformat()} must be an aware time on the grid "
                f"of step_s={self.step_s}"
            )
        lengths = {len(workload.values) for workload in self.workloads}
        if len(lengths) != 1 or lengths == {0}:
            raise InvalidInput(f"history: all workloads must have the same steps, got {lengths}")

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.workloads[0].values)

    @property
    def end_at(self) -> datetime:
        """End of the last step."""
        return self.start_at + timedelta(seconds=self.step_s * self.n_steps)


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """Steps that a back-fill wrote, and values that it refused."""

    n_rows: int  # steps of workloads, new or changed
    n_observed: int
    rejected: tuple[Rejection, ...]


def backfill(
    engine: Engine,
    workload_ids: Sequence[int],
    frame: HistoryFrame,
    *,
    now: datetime | None = None,
    source: str = "backfill",
) -> BackfillResult:
    """Write history in a transaction of its own; see `write_history`."""
    with unit_of_work(engine) as work:
        return write_history(work.connection, workload_ids, frame, now=now, source=source)


def write_history(
    connection: Connection,
    workload_ids: Sequence[int],
    frame: HistoryFrame,
    *,
    now: datetime | None = None,
    source: str = "backfill",
) -> BackfillResult:
    """Write history within a transaction that is open.

    Where none of the steps is there yet, all go in by one `COPY`; else observed values replace
    what is there, and a gap never replaces a value. Running it again changes nothing. Counts of an
    objective have rows of observed steps only, and by themselves move no cursor.

    Args:
        connection: In a transaction.
        workload_ids: Ids of the workloads of `frame`, in its order.
        frame: The history.
        now: Time noted with the cursors; default: the end of the frame.
        source: Label of the metrics.

    Raises:
        NotFound: A workload does not exist.
        InvalidInput: An indicator is not in its workload's spec, or the step differs.
    """
    rejections = Rejections()
    at = now or frame.end_at
    refs = repository.load_workloads(connection, workload_ids, WorkloadCatalog())
    histories = _matched(refs, workload_ids, frame)
    screened = [(ref, _screen(ref, history, rejections)) for ref, history in histories]
    step_us = to_us(frame.start_at) + frame.step_s * SECOND_US * np.arange(frame.n_steps)
    span = TimeSpan(int(step_us[0]), int(step_us[-1]))
    # in the order of the key, so that the index grows at its end
    screened.sort(key=lambda pair: pair[0].id)
    blocks = [_block(ref, each, step_us) for ref, each in screened]
    n_rows = sum(len(block.at_us) for block in blocks)
    # cursors before steps, as resampling has them: it may write the same steps
    note_samples(connection, CursorMoves.none(refs), at)
    if repository.has_indicators(connection, workload_ids, span):
        n_rows = write_steps(connection, blocks)
    else:
        copy_new_steps(connection, blocks)
    newest_at = {
        ref.id: _newest_at(history, frame) for ref, history in screened if _paces(ref, history)
    }
    repository.close_history(connection, newest_at, frame.end_at, at)
    n_observed = sum(int(history.observed.sum()) for _, history in screened)
    measure(source, n_observed, rejections)
    return BackfillResult(n_rows, n_observed, rejections.as_tuple())


def _matched(
    refs: dict[int, WorkloadRef], workload_ids: Sequence[int], frame: HistoryFrame
) -> list[tuple[WorkloadRef, WorkloadHistory]]:
    if len(set(workload_ids)) != len(frame.workloads):
        raise InvalidInput(
            f"workload_ids: {len(set(workload_ids))} different ids for a history of "
            f"{len(frame.workloads)} workloads; give one per workload"
        )
    for workload_id in workload_ids:
        if workload_id not in refs:
            raise NotFound(f"workload_id={workload_id} does not exist; register it first")
    pairs = [
        (refs[id_], history) for id_, history in zip(workload_ids, frame.workloads, strict=True)
    ]
    for ref, history in pairs:
        where = f"history of {ref.namespace}/{ref.name}"
        if ref.step_s != frame.step_s:
            raise InvalidInput(f"{where}: step_s={frame.step_s} must be {ref.step_s}")
        unknown = [name for name in history.indicators if name not in ref.indicators]
        if unknown or len(set(history.indicators)) != len(history.indicators):
            raise InvalidInput(
                f"{where}: indicators {list(history.indicators)} must be different ones of "
                f"{list(ref.indicators)}"
            )
    return pairs


def _screen(ref: WorkloadRef, history: WorkloadHistory, rejections: Rejections) -> WorkloadHistory:
    """The history with every unusable value made a gap and counted."""
    values = history.values
    signed = np.array([ref.indicators[name].is_signed for name in history.indicators], dtype=bool)
    largest = np.array([ref.indicators[name].largest_step for name in history.indicators])
    observed = history.observed.copy()
    with np.errstate(invalid="ignore"):
        tests = (
            (NOT_FINITE, ~np.isfinite(values)),
            (OUT_OF_RANGE, np.abs(values) > LARGEST_VALUE),
            (IMPLAUSIBLE, values > largest),
            (NEGATIVE, (values < 0) & ~signed),
        )
    for reason, fails in tests:
        found = fails & observed
        if found.any():
            step, column = (int(index[0]) for index in np.nonzero(found))
            shown = f"{ref.namespace}/{ref.name} {history.indicators[column]} at step {step}"
            rejections.add(reason, int(found.sum()), f"{shown}: {values[step, column]:g}")
            observed &= ~found
    return WorkloadHistory(history.indicators, values, observed)


def _block(ref: WorkloadRef, history: WorkloadHistory, step_us: NDArray[np.int64]) -> StepBlock:
    """The steps that any value is stored of."""
    names = tuple(ref.indicators)
    places = [names.index(name) for name in history.indicators]
    values = np.full((len(step_us), len(names)), np.nan, dtype=np.float32)
    states = np.zeros(values.shape, dtype=np.uint8)
    # what was refused may be too large for the column
    values[:, places] = np.where(history.observed, history.values, np.nan)
    gaps = np.where(_kept(ref, history), GAP, 0)
    states[:, places] = np.where(history.observed, SEEN, gaps)
    ids = np.full(len(step_us), ref.id, dtype=np.int64)
    kept = np.flatnonzero(states.any(axis=1))
    return StepBlock(names, ids, step_us, values, states).where(kept)


def _kept(ref: WorkloadRef, history: WorkloadHistory) -> Mask:
    """Values that are stored, (T, D): all, but of the counts of an objective the observed ones."""
    is_sli = np.array([ref.indicators[name].is_sli for name in history.indicators], dtype=bool)
    kept: Mask = history.observed | ~is_sli
    return kept


def _paces(ref: WorkloadRef, history: WorkloadHistory) -> bool:
    return any(ref.indicators[name].is_pacing for name in history.indicators)


def _newest_at(history: WorkloadHistory, frame: HistoryFrame) -> datetime | None:
    steps = np.flatnonzero(history.observed.any(axis=1))
    if not len(steps):
        return None
    return frame.start_at + timedelta(seconds=frame.step_s * int(steps[-1]))
