"""Whose past is to be asked for, and of which of its queries. Pure.

A workload without recent samples lacks a stretch of all its indicators. One with samples may lack
the past of a few: of an indicator that was added or whose query was corrected, and of the counts of
an objective. So it is noted by which query the past of each was asked for, and of a workload that
stays silent that its past since its newest sample was answered with nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import orjson

from services.ingest.series.catalog import WorkloadRef
from services.ingest.series.due import SILENT, CursorRow
from services.ingest.series.samples import from_us, to_us

MOST_AT_ONCE = 4
"""Workloads of a shard whose past is asked for in one pull where only their objective is new, and
as many silent ones."""
COUNTS = ""
"""Where a note has the counts of the objective; all else is by the names of indicators."""


def counts_of(workload: WorkloadRef) -> str | None:
    """What tells the counts of an objective from those of another; None: it has none to pull."""
    found = sorted(one.name + "=" + one.query for one in workload.indicators.values() if one.is_sli)
    queries = [one for one in found if not one.endswith("=")]
    return _hashed("\n".join(queries)) if queries else None


def is_unasked(row: CursorRow) -> bool:
    """Whether the past was never asked for the counts of its objective as it is now."""
    counts = counts_of(row.workload)
    return counts is not None and counts != noted(row).get(COUNTS)


def noted(row: CursorRow) -> dict[str, str]:
    """By which query the past of each indicator was asked for, and of which counts."""
    text = row.counts_asked
    if not text:
        return {}
    if not text.startswith("{"):
        return {COUNTS: text}  # of a release that noted these alone
    found: dict[str, str] = orjson.loads(text)
    return found


def queries_now(workload: WorkloadRef) -> dict[str, str]:
    """What tells the query of each indicator from another one, also of those that are pushed."""
    own = [one for one in workload.indicators.values() if not one.is_sli]
    return {one.name: _hashed(f"{one.is_counter}\n{one.query}") for one in own}


def corrected(row: CursorRow) -> frozenset[str]:
    """Indicators with a query that is not the one by which their past was asked for.

    Where no indicator is noted, a release that noted none has asked for all of them.
    """
    known, now = noted(row), queries_now(row.workload)
    if not known.keys() - {COUNTS, SILENT}:
        return frozenset()
    pulled = {one.name for one in row.workload.indicators.values() if one.query}
    return frozenset(name for name, query in now.items() if query != known.get(name)) & pulled


def note_of_queries(row: CursorRow) -> str | None:
    """The note where all its queries are those of its past; None: it is the one it has."""
    known = noted(row)
    kept = {name: one for name, one in known.items() if name in (COUNTS, SILENT)}
    return _note(known, kept | queries_now(row.workload))


def note_of_past(row: CursorRow, newest_at: datetime | None) -> str | None:
    """The note once the past was asked for by all of its queries; None: it is the one it has.

    Args:
        row: As it was before.
        newest_at: Its newest sample now.
    """
    known = noted(row)
    asked = {name: one for name, one in known.items() if name == COUNTS}
    if newest_at == row.last_sample_at:
        asked[SILENT] = _sample(newest_at)
    return _note(known, asked | queries_now(row.workload))


def note_of_counts(row: CursorRow) -> str | None:
    """The note once the past of its objective was asked for; None: it is the one it has."""
    known, counts = noted(row), counts_of(row.workload)
    return None if counts is None else _note(known, known | {COUNTS: counts})


def is_unnoted(row: CursorRow) -> bool:
    """Whether it lacks no past, and its note may be of a release that noted less."""
    return row.last_sample_at is not None and not row.is_history_missing and not corrected(row)


def is_silent(row: CursorRow) -> bool:
    """Whether all of its past up to now was asked for since its newest sample, and gave none."""
    if row.is_history_missing or corrected(row):
        return False
    return noted(row).get(SILENT) == _sample(row.last_sample_at)


def _has_returned(row: CursorRow) -> bool:
    """Whether it was silent and has a newer sample now: others may have come before that."""
    was_silent = SILENT in noted(row) and not row.is_history_missing
    return was_silent and noted(row)[SILENT] != _sample(row.last_sample_at)


def known_until(row: CursorRow) -> datetime | None:
    """Its newest sample, or that before it was silent; None: all of its past is missing."""
    before = noted(row).get(SILENT)
    if before is None:
        return row.last_sample_at
    return from_us(int(before)) if before else None


def is_outdated(row: CursorRow, at: datetime, late_s: float) -> bool:
    """Whether it lacks a stretch up to its newest steps, which are asked for anyway."""
    oldest = at - timedelta(seconds=late_s + row.workload.step_s)
    is_old = row.last_sample_at is not None and row.last_sample_at <= oldest
    return is_old or _has_returned(row)


def needs_history(row: CursorRow, at: datetime, late_s: float) -> bool:
    """Check whether samples older than those that are asked for anyway are missing."""
    is_new = row.last_sample_at is None and row.resampled_until is None
    turn = 0
    if is_silent(row):
        turn = row.workload.id  # so that not all are asked for at once
    elif is_new or is_outdated(row, at, late_s):
        return True
    elif not row.is_history_missing:
        if corrected(row):
            return True
        if row.last_sample_at is not None:
            return False
    # Steps were closed without a sample: the source had none, or was away. Or it could not be asked
    # for more than the newest steps. Ask now and then.
    step_s = row.workload.step_s
    n_steps_between = max(1, int(late_s) // step_s)
    return (int(at.timestamp()) // step_s + turn) % n_steps_between == 0


def unasked_of(rows: Sequence[CursorRow], stale: Sequence[CursorRow]) -> list[CursorRow]:
    """A few workloads that have samples, and an objective of which the past was never asked for.

    Where the source did not give it, they are asked for with those whose history is missing, and
    silent ones when their past is.
    """
    are_stale = {row.workload.id for row in stale}
    found = [row for row in rows if row.workload.id not in are_stale and is_unasked(row)]
    found = [row for row in found if not row.is_history_missing and not is_silent(row)]
    return found[:MOST_AT_ONCE]


def in_turn(rows: Sequence[CursorRow], rng: np.random.Generator) -> list[CursorRow]:
    """New workloads first, then those that could not be asked for, then a few silent ones.

    Of both these any may come first, so that each does at times.
    """
    silent = [row for row in rows if is_silent(row)]
    again = [row for row in rows if row.is_history_missing]
    others = [row for row in rows if not row.is_history_missing and not is_silent(row)]
    found = others + [again[place] for place in rng.permutation(len(again)).tolist()]
    few = rng.permutation(len(silent)).tolist()[:MOST_AT_ONCE]
    return found + [silent[place] for place in few]


def _sample(at: datetime | None) -> str:
    return "" if at is None else str(to_us(at))


def _note(known: Mapping[str, str], asked: Mapping[str, str]) -> str | None:
    return None if asked == known else orjson.dumps(asked, option=orjson.OPT_SORT_KEYS).decode()


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
