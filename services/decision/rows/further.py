"""Further loads of workloads as they were observed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from services.decision.rows.inputs import ShardMember
from services.decision.rows.loads import Sampled
from services.decision.rows.repository import load_series


def load_further(
    connection: Connection, members: Mapping[int, ShardMember], first: datetime, last: datetime
) -> dict[int, dict[str, Sampled]]:
    """Series of the further loads by workload and name; one query, none where there are none.

    Args:
        connection: An open transaction.
        members: The workloads.
        first: First step start, inclusive.
        last: Last step start, inclusive.
    """
    names = {key: m.spec.further_loads for key, m in members.items() if m.spec.further_loads}
    return load_series(connection, names, first, last)
