"""SQL of the cursors that samples move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, text

from services.ingest.series.samples import I64

UNSET_US = int(np.iinfo(np.int64).min)
"""No time at all, in a column of times."""
_NOTE = text(
    "INSERT INTO ingest_cursors AS c (workload_id, resampled_until, last_sample_at, updated_at)"
    " SELECT s.id, CAST('epoch' AS timestamptz) + s.reopen_us * interval '1 microsecond', "
    "CAST('epoch' AS timestamptz) + s.newest_us * interval '1 microsecond', :now "
    "FROM unnest(CAST(:ids AS int[]), CAST(:reopen AS bigint[]), CAST(:newest AS bigint[])) "
    "AS s(id, reopen_us, newest_us) ORDER BY s.id ON CONFLICT (workload_id) DO UPDATE SET "
    "resampled_until = LEAST(c.resampled_until, EXCLUDED.resampled_until), "
    "last_sample_at = GREATEST(c.last_sample_at, EXCLUDED.last_sample_at), "
    "updated_at = EXCLUDED.updated_at"
)


@dataclass(frozen=True, slots=True)
class CursorMoves:
    """What samples mean for the cursors of K workloads, in the order of their ids.

    Attributes:
        ids: Of the workloads, (K,).
        reopen_us: The earliest step that samples change, (K,); a step that was done is opened again
            by moving `resampled_until` back. `UNSET_US`: none.
        newest_us: Time of the newest sample, (K,). `UNSET_US`: only of steps to come.
    """

    ids: I64
    reopen_us: I64
    newest_us: I64

    @classmethod
    def none(cls, ids: Iterable[int]) -> CursorMoves:
        """Cursors that stay where they are, and are locked."""
        found = np.array(sorted(ids), dtype=np.int64)
        unset = np.full(len(found), UNSET_US, dtype=np.int64)
        return cls(found, unset, unset)


def note_samples(connection: Connection, moves: CursorMoves, now: datetime) -> None:
    """Move the cursors of workloads that sent samples; they are locked from here on."""
    values = {
        "ids": array_text(moves.ids),
        "reopen": array_text(moves.reopen_us),
        "newest": array_text(moves.newest_us),
        "now": now,
    }
    connection.execute(_NOTE, values)


def array_text(numbers: I64) -> str:
    """An array as Postgres reads it: the driver takes many times as long for a list."""
    return f"{{{','.join(map(str, numbers.tolist()))}}}".replace(str(UNSET_US), "NULL")
