"""The lock by which two decision runs of a shard wait for each other."""

from __future__ import annotations

from sqlalchemy import Connection, text


def lock_shard(connection: Connection, shard: int) -> None:
    """One decision run per shard at a time, until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('harmony_decide'), :shard)"), {"shard": shard}
    )
