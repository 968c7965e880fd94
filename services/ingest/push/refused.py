"""Refused samples of a request, counted for the answer and noted with the workloads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from services.ingest.series import repository
from services.ingest.series.samples import Rejections
from services.kernel.db.bulkhead import SetApart
from services.kernel.db.workload_errors import INGEST, note_errors
from services.kernel.errors import InvalidInput


@dataclass(slots=True)
class Tally:
    """Refused samples of a request.

    Attributes:
        rejections: For the answer.
        by_workload: Per workload, by reason, for its cursor.
        implausible: Per workload the first load that is not plausible, in words.
        plausible: Workloads of which a load was taken.
        failing: Workloads that are noted for such loads; None: any may be.
    """

    rejections: Rejections
    by_workload: dict[int, dict[str, int]] = field(default_factory=dict)
    implausible: dict[int, str] = field(default_factory=dict)
    plausible: set[int] = field(default_factory=set)
    failing: frozenset[int] | None = None

    def count(self, workload_id: int, reason: str, n: int) -> None:
        """Add to a workload's count."""
        counts = self.by_workload.setdefault(workload_id, {})
        counts[reason] = counts.get(reason, 0) + n

    def store(self, connection: Connection, now: datetime) -> None:
        """Note the counts with the workloads' cursors, and whose loads are not plausible.

        The cursors of `by_workload` are locked already, where the transaction holds any.
        """
        repository.add_rejections(connection, self.by_workload, now)
        plausible = self.plausible if self.failing is None else self.plausible & self.failing
        note_implausible(connection, plausible, self.implausible, now)


def note_implausible(
    connection: Connection, plausible: Collection[int], found: Mapping[int, str], now: datetime
) -> None:
    """Remember whose loads are refused, and forget it of those whose loads are taken again.

    Args:
        connection: An open transaction.
        plausible: Workloads of which a load was taken.
        found: Per workload what was refused, in words.
        now: Now.
    """
    handled = sorted({*plausible, *found})
    if handled:
        apart = {id_: SetApart(id_, InvalidInput(found[id_])) for id_ in sorted(found)}
        note_errors(connection, INGEST, handled, apart, now)
