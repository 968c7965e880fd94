"""SQL of the shares: what the shards hold and would take of each GPU type.

A share is stored with the snapshot that it was read in, a mark with the transaction that changed
something: a share is out of date once there is a mark that its snapshot does not see. So nobody
need wait for anybody to know it, in whatever order transactions commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.kernel.db import schema_running
from services.kernel.db.clusters import FIRST, shards_of
from services.kernel.db.session import CopyTarget, copy_rows

FORGOTTEN_AFTER = timedelta(minutes=10)
"""A share that has run out for so long counts as one that is not there.

Nobody reads it: its type is in use in no other shard any more. Marks are kept for none that ran out
twice as long ago; between the two, clocks may differ.
"""
_UNSEEN = "NOT pg_visible_in_snapshot(m.xact::text::xid8, s.seen_in::pg_snapshot)"


def load_snapshot(connection: Connection) -> str:
    """The snapshot of this moment: what is read from now on sees at least as much."""
    return str(connection.execute(text("SELECT pg_current_snapshot()::text")).scalar_one())


def load_own_shards(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Shards of workloads."""
    statement = text("SELECT DISTINCT shard FROM workloads WHERE id = ANY(:ids)")
    return {int(row[0]) for row in connection.execute(statement, {"ids": list(ids)})}


def load_shards(connection: Connection, cluster_id: int = FIRST) -> set[int]:
    """Shards of a cluster with an active workload: one look at an index for each shard."""
    statement = text(
        "WITH RECURSIVE s(shard) AS ("
        "  (SELECT shard FROM workloads WHERE is_active AND shard BETWEEN :first AND :last "
        "  ORDER BY shard LIMIT 1) "
        "  UNION ALL SELECT (SELECT w.shard FROM workloads w WHERE w.is_active "
        "  AND w.shard > s.shard AND w.shard <= :last ORDER BY w.shard LIMIT 1) "
        "  FROM s WHERE s.shard IS NOT NULL) SELECT shard FROM s WHERE shard IS NOT NULL"
    )
    own = shards_of(cluster_id)
    rows = connection.execute(statement, {"first": own.start, "last": own.stop - 1})
    return {int(row[0]) for row in rows}


def load_shares(
    connection: Connection,
    gpu_types: Sequence[str],
    shards: Sequence[int],
    policy_version: str,
    now: datetime,
) -> Sequence[RowMapping]:
    """Shares of shards as they are stored, but for forgotten ones; whether each is up to date."""
    statement = text(
        "SELECT s.gpu_type, s.shard, s.held_gpus, s.demand_gpus, "  # noqa: S608
        "s.policy_version = :policy_version AND s.good_until > :now AND NOT EXISTS ("
        f"  SELECT FROM gpu_share_marks m WHERE m.shard = s.shard AND {_UNSEEN}) AS is_fresh "
        "FROM gpu_shares s WHERE s.gpu_type = ANY(:gpu_types) AND s.shard = ANY(:shards) "
        "AND s.good_until > :forgotten"
    )
    given: dict[str, Any] = {"gpu_types": list(gpu_types), "shards": list(shards)}
    given |= {"policy_version": policy_version, "now": now, "forgotten": now - FORGOTTEN_AFTER}
    return connection.execute(statement, given).mappings().all()


def store_shares(connection: Connection, rows: Iterable[Sequence[Any]], now: datetime) -> None:
    """Store shares, and drop the marks of their shards that every share in use sees.

    Args:
        connection: The transaction, with the locks of the types.
        rows: gpu_type, shard, policy_version, held_gpus, demand_gpus, seen_in, good_until.
        now: Aware.
    """
    columns = (
        *("gpu_type", "shard", "policy_version"),
        *("held_gpus", "demand_gpus", "seen_in", "good_until"),
    )
    found = list(rows)
    key = ("gpu_type", "shard")
    copy_rows(connection, CopyTarget(schema_running.gpu_shares, columns, "update", key), found)
    statement = text(
        "DELETE FROM gpu_share_marks WHERE id IN (SELECT id FROM gpu_share_marks m "  # noqa: S608
        "WHERE m.shard = ANY(:shards) AND NOT EXISTS (SELECT FROM gpu_shares s "
        f"  WHERE s.shard = m.shard AND s.good_until > :unused AND {_UNSEEN}) "
        # another type's reader may be at the same marks
        "FOR UPDATE SKIP LOCKED)"
    )
    shards = sorted({row[1] for row in found})
    connection.execute(statement, {"shards": shards, "unused": now - 2 * FORGOTTEN_AFTER})
