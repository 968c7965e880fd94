"""Steps of workloads that are due to be resampled. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from services.ingest.series.catalog import WorkloadRef
from services.ingest.series.samples import SECOND_US, to_us

SILENT = "@silent"
"""Where `counts_asked` has which sample was the newest when the past since was answered with
nothing."""
_SPARE_S, _OPEN_STEPS = 60.0, 3


def judged_within_s(late_s: float, step_s: int) -> float:
    """For how long after its end a step may still be judged by what was measured.

    Counts of an objective from elsewhere are taken of earlier steps only: a promise is judged by
    what was measured at the time.
    """
    return late_s + _SPARE_S + _OPEN_STEPS * step_s


@dataclass(frozen=True, slots=True)
class CursorRow:
    """A workload of a shard and how far it has come.

    Attributes:
        workload: The workload.
        resampled_until: End of the last step that is done; None before the first.
        last_sample_at: Time of its newest sample; None before the first.
        counts_asked: By which queries the past of its indicators was asked for, and that of the
            counts of its objective (`pull.past_asked` reads it); None: by none.
        is_history_missing: The source could not be asked for its history.
        is_slow: The source took too long for a query of it in the last pull.
        is_faulty: What the source answered to a query of it could not be used.
        is_late: Samples of it reach the source later than they are asked for.
    """

    workload: WorkloadRef
    resampled_until: datetime | None
    last_sample_at: datetime | None
    counts_asked: str | None = None
    is_history_missing: bool = False
    is_slow: bool = False
    is_faulty: bool = False
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class DueRange:
    """Steps of one workload to resample, `[start_us, end_us)`; empty when nothing is due."""

    row: CursorRow
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class DueRules:
    """When a complete step is due.

    Attributes:
        grace_s: A step without any sample waits this long after its end, so that the forecast does
            not read a gap that a sender in the middle of its round is about to fill.
        oldest_s: Steps older than this are given up: their raw samples are gone.
        max_rows: Rows in one run; the rest follows in the next.
        source_late_s: How late samples reach the source; a step of a workload that is pulled is
            complete so long after its end, whatever of it is there before.
    """

    grace_s: float
    oldest_s: float
    max_rows: int
    source_late_s: float = 0.0


def due_ranges(
    rows: Sequence[CursorRow], now: datetime, rules: DueRules
) -> tuple[list[DueRange], bool]:
    """Steps that are due at `now`, of workloads that share one step length.

    A complete step is due when the workload has sent a sample of that step or a later one, or when
    the grace has passed.

    Returns:
        One range per row, and whether more is due than one run takes.
    """
    ranges = [_due_range(row, to_us(now), rules) for row in rows]
    open_ranges = [due for due in ranges if due.end_us > due.start_us]
    if not open_ranges:
        return ranges, False
    cap_us = _cap_us(open_ranges, rules.max_rows)
    capped = [
        DueRange(due.row, due.start_us, max(due.start_us, min(due.end_us, cap_us)))
        for due in ranges
    ]
    return capped, any(due.end_us > cap_us for due in open_ranges)


def _cap_us(open_ranges: Sequence[DueRange], max_rows: int) -> int:
    """End of what a run takes: old steps first, and the same stretch for all that it takes.

    A run holds all its series over its whole stretch; so many rows it may have after an outage,
    too. Where one workload alone is far behind, the others wait until it has come to where they
    are: with them it would come there in small pieces, and nobody has a new step meanwhile.
    """
    step_us = open_ranges[0].row.workload.step_s * SECOND_US
    ordered = sorted(open_ranges, key=lambda due: due.start_us)
    first_us, n_series, reached_us = ordered[0].start_us, 0, []
    for due, later in zip_longest(ordered, ordered[1:]):
        n_series += len(due.row.workload.names(is_sli=False))
        cap_us = first_us + max(1, max_rows // n_series) * step_us
        reached_us.append(cap_us if later is None else min(cap_us, later.start_us))
    return max(reached_us)


def _due_range(row: CursorRow, now_us: int, rules: DueRules) -> DueRange:
    step_us = row.workload.step_s * SECOND_US
    oldest_us = _floor(now_us - round(rules.oldest_s * SECOND_US), step_us)
    if row.workload.is_pulled:
        now_us -= round(rules.source_late_s * SECOND_US)
    complete_us = _floor(now_us, step_us)
    end_us = _floor(now_us - round(rules.grace_s * SECOND_US), step_us)
    if row.last_sample_at is not None:
        end_us = max(end_us, _floor(to_us(row.last_sample_at), step_us) + step_us)
    end_us = min(end_us, complete_us)
    if row.resampled_until is None:
        start_us = complete_us - step_us
    else:
        start_us = _floor(to_us(row.resampled_until), step_us)
    start_us = max(start_us, oldest_us)
    return DueRange(row, start_us, max(start_us, end_us))


def _floor(at_us: int, step_us: int) -> int:
    return at_us // step_us * step_us
