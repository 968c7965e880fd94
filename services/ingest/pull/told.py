"""What a pull tells the owners of workloads: stored with these, and shown as their condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine

from services.ingest.lateness import SourceLateness
from services.ingest.pull.patience import Patience
from services.ingest.pull.queries import NOT_TRIED, QueryAnswer
from services.ingest.series.due import CursorRow
from services.ingest.series.source import SERVER_REASONS, TIMEOUT
from services.kernel.db.bulkhead import SetApart
from services.kernel.db.session import unit_of_work
from services.kernel.db.workload_errors import HISTORY, LATE, PULL, SOURCE, note_errors
from services.kernel.errors import Unavailable

_OF_NO_QUERY = SERVER_REASONS | {TIMEOUT, NOT_TRIED}
"""Reasons that say nothing of the query itself, or that `note_slow` tells."""


@dataclass(slots=True)
class AnswerFaults:
    """What is wrong with the answers of a pull.

    Attributes:
        found: Per workload the first query that gave nothing to be used, and why.
        open: Workloads with a query of which that is not known now.
        answered: Workloads that were asked for.
    """

    found: dict[int, str] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)

    def add(self, answer: QueryAnswer) -> None:
        """Note what came of a query for the newest steps."""
        id_ = answer.ref.workload.id
        self.answered.add(id_)
        if answer.error in _OF_NO_QUERY:
            self.open.add(id_)
        elif answer.error:
            self.found.setdefault(id_, f"{answer.ref.indicator.name}: {answer.why}")


def note_faults(
    engine: Engine, rows: Sequence[CursorRow], faults: AnswerFaults, at: datetime
) -> None:
    """Note whose queries give nothing to be used, and whose do again.

    Args:
        engine: Database.
        rows: All workloads of the shard, also those without a query.
        faults: What came of the queries.
        at: Now.
    """
    told = [row.workload for row in rows if row.is_faulty]
    well = {
        one.id
        for one in told
        if not one.has_query or one.id in faults.answered - faults.open - faults.found.keys()
    }
    _note(engine, SOURCE, {*faults.found, *well}, faults.found, at)


def note_late(
    engine: Engine, rows: Sequence[CursorRow], lateness: SourceLateness, at: datetime
) -> None:
    """Note once of whose loads the first answers are too low, and whose are no longer.

    Args:
        engine: Database.
        rows: All workloads of the shard, also those without a query.
        lateness: What this process has seen; what it cannot tell yet is left as it is.
        at: Now.
    """
    found: dict[int, str] = {}
    well: set[int] = set()
    for row in rows:
        words = lateness.of(row.workload.id)
        late = [one for one in words.values() if one is not None]
        if late and not row.is_late:
            found[row.workload.id] = late[0]
        elif row.is_late and not late and (words or not row.workload.has_query):
            well.add(row.workload.id)
    _note(engine, LATE, {*found, *well}, found, at)


def note_missing(
    engine: Engine, rows: Sequence[CursorRow], missing: Mapping[int, str], at: datetime
) -> None:
    """Note which of these workloads lack a history, and which no longer do.

    Args:
        engine: Database.
        rows: Workloads whose history was asked for; of others nothing is noted.
        missing: Why the source did not give it, by workload.
        at: Now.
    """
    if not any(row.is_history_missing for row in rows) and not missing:
        return
    handled = {row.workload.id for row in rows}
    found = {
        id_: f"the source did not give it ({why}); it is asked again"
        for id_, why in missing.items()
        if id_ in handled
    }
    _note(engine, HISTORY, handled, found, at)


def note_slow(engine: Engine, rows: Sequence[CursorRow], patience: Patience, at: datetime) -> None:
    """Note for whom a query took too long, and who was answered in time or asks no more.

    Args:
        engine: Database.
        rows: All workloads of the shard, also those without a query.
        patience: Knows who got no answer in time.
        at: Now.
    """
    slow = [row.workload for row in rows if row.is_slow]
    answered = patience.answered
    well = {one.id for one in slow if one.id in answered or not one.has_query}
    remedy = "make it cheaper, e.g. by a recording rule; it is asked for last meanwhile"
    found = {
        id_: f"the query of {what} took too long: {remedy}"
        for id_, what in patience.timed_out.items()
    }
    _note(engine, PULL, {*found, *well}, found, at)


def _note(
    engine: Engine, stage: str, handled: set[int], found: Mapping[int, str], at: datetime
) -> None:
    if not handled:
        return
    apart = {id_: SetApart(id_, Unavailable(found[id_])) for id_ in sorted(found)}
    with unit_of_work(engine) as work:
        note_errors(work.connection, stage, sorted(handled), apart, at)
