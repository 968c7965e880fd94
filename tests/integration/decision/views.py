"""The shard's workloads as a run of decisions finds them."""

from __future__ import annotations

from sqlalchemy import Connection

from services.decision.rows import repository
from services.decision.rows.members import ShardMember, to_member


def members_of(connection: Connection, shard: int = 0) -> dict[int, ShardMember]:
    return {int(r["id"]): to_member(r) for r in repository.load_workloads(connection, shard)}
