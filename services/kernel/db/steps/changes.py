"""SQL that reads again what has changed: steps that a caller lacks, and those written since.

Triggers on `indicator_steps` mark each change: whose shard, which steps, by which transaction. A
reader that keeps what it read keeps the oldest transaction that was then under way with it: what
was written by that one or a later one may be new to it, whatever the order of commits; nothing
else can be. Marks and steps are read in one statement, so by one snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, text

from services.kernel.db.steps.blocks import POSTGRES_EPOCH_US, StepBlock, decode_steps
from services.kernel.db.steps.layouts import load_layouts
from services.kernel.db.steps.reading import Span

NEVER = 2**62
"""Nothing was read before: a transaction later than all."""
_MOST_OLD = 100
_OLD = "interval '15 minutes'"

_CHANGED = f"""
WITH shards AS (SELECT DISTINCT shard FROM workloads WHERE id = ANY(:ids)),
marks AS (SELECT first_at, last_at FROM indicator_changes WHERE shard IN (SELECT shard FROM shards)
  AND xact >= :since),
ranges AS (
  SELECT (SELECT COALESCE(range_agg(tstzrange(first_at, last_at, '[]')), '{{}}') FROM unnest(
      CAST(:missing_firsts AS timestamptz[]), CAST(:missing_lasts AS timestamptz[])
    ) AS m(first_at, last_at))
    + (SELECT COALESCE(range_agg(tstzrange(first_at, last_at, '[]')), '{{}}') FROM marks)
    * (SELECT COALESCE(range_agg(tstzrange(first_at, last_at, '[]')), '{{}}') FROM unnest(
      CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[])) AS w(first_at, last_at)) AS r
),
spans AS MATERIALIZED (SELECT lower(r) AS first_at, upper(r) AS last_at
  FROM (SELECT unnest(r) AS r FROM ranges) one)
SELECT k.workload_id, s.layout_id,
  string_agg(timestamptz_send(s.step_at) || s.states || array_send(s.values), ''::bytea) AS packed,
  NULL::bigint AS since, NULL::boolean AS is_own, NULL::bigint AS n_old
FROM unnest(CAST(:ids AS integer[])) AS k(workload_id) CROSS JOIN spans p
CROSS JOIN LATERAL (SELECT layout_id, step_at, states, "values" FROM indicator_steps
  WHERE workload_id = k.workload_id AND step_at BETWEEN p.first_at AND p.last_at
  AND step_at BETWEEN :first AND :last OFFSET 0) AS s
GROUP BY k.workload_id, s.layout_id
UNION ALL
SELECT NULL, NULL, (SELECT string_agg(timestamptz_send(first_at) || timestamptz_send(last_at),
    ''::bytea) FROM spans),
  pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
  EXISTS (SELECT FROM indicator_changes WHERE shard IN (SELECT shard FROM shards)
    AND xact = pg_current_xact_id_if_assigned()::text::bigint),
  (SELECT count(*) FROM indicator_changes WHERE shard IN (SELECT shard FROM shards)
    AND updated_at < clock_timestamp() - {_OLD})
"""  # noqa: S608 - our text
_FORGET = f"""
WITH old AS (DELETE FROM indicator_changes WHERE id IN (SELECT id FROM indicator_changes
  WHERE shard IN (SELECT DISTINCT shard FROM workloads WHERE id = ANY(:ids))
  AND updated_at < clock_timestamp() - {_OLD} FOR UPDATE SKIP LOCKED)
  RETURNING shard, xact, updated_at)
INSERT INTO indicator_changes (shard, first_at, last_at, xact, updated_at)
SELECT shard, '-infinity', 'infinity', max(xact), max(updated_at) FROM old GROUP BY shard
"""  # noqa: S608 - our text


@dataclass(frozen=True, slots=True)
class ChangedSteps:
    """Steps that were read, and how much of what was read before they stand for.

    Attributes:
        blocks: The steps.
        first_us: Starts of the stretches that were read, (n,).
        last_us: Their ends, within, (n,).
        since: The oldest transaction that was under way: to be given at the next read.
        is_own: This transaction has written steps itself: if it fails, they never were.
    """

    blocks: list[StepBlock]
    first_us: np.ndarray[tuple[int], np.dtype[np.int64]]
    last_us: np.ndarray[tuple[int], np.dtype[np.int64]]
    since: int
    is_own: bool


def load_changed(
    connection: Connection,
    ids: Sequence[int],
    wanted: Sequence[Span],
    missing: Sequence[Span],
    since: int,
) -> ChangedSteps:
    """Read the steps that are missing and those of the wanted ones that were written since.

    Args:
        connection: An open transaction.
        ids: Workloads.
        wanted: Stretches of steps that are of interest.
        missing: Those of them that were not read before.
        since: `since` of the read before, or `NEVER`.
    """
    given = {
        "ids": list(ids),
        "since": since,
        "firsts": [span.first_at for span in wanted],
        "lasts": [span.last_at for span in wanted],
        "missing_firsts": [span.first_at for span in missing],
        "missing_lasts": [span.last_at for span in missing],
        "first": min(span.first_at for span in wanted),
        "last": max(span.last_at for span in wanted),
    }
    found: dict[int, dict[int, bytes]] = defaultdict(dict)
    rows = connection.execute(text(_CHANGED), given).all()
    (read,) = (row for row in rows if row.since is not None)
    for row in rows:
        if row.layout_id is not None:
            found[row.layout_id][row.workload_id] = row.packed
    if read.n_old > _MOST_OLD:
        connection.execute(text(_FORGET), {"ids": list(ids)})
    layouts = load_layouts(connection, found)
    blocks = [decode_steps(layouts[one], parts) for one, parts in found.items()]
    bounds = np.frombuffer(read.packed or b"", dtype=">i8").astype(np.int64) + POSTGRES_EPOCH_US
    return ChangedSteps(blocks, bounds[::2], bounds[1::2], read.since, read.is_own)


def note_dropped(connection: Connection) -> None:
    """Mark all steps of all shards: a partition was dropped, which no trigger sees."""
    connection.execute(
        text(
            "INSERT INTO indicator_changes (shard, first_at, last_at) "
            "SELECT DISTINCT shard, CAST('-infinity' AS timestamptz), "
            "CAST('infinity' AS timestamptz) FROM workloads"
        )
    )
