"""SQL of how often spot nodes are interrupted."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

from services.operator.plan.interruptions import SpotCount


def load_counts(connection: Connection) -> dict[str, SpotCount]:
    """What was counted of each GPU type."""
    rows = connection.execute(
        text(
            "SELECT gpu_type, interruptions, node_hours, noticed_nodes, observed_at "
            "FROM gpu_interruptions"
        )
    )
    return {row[0]: SpotCount(row[1], row[2], frozenset(row[3]), row[4]) for row in rows}


def store_counts(connection: Connection, counts: Mapping[str, SpotCount]) -> None:
    """Store what was counted of some GPU types."""
    if not counts:
        return
    names = ("interruptions", "node_hours", "noticed_nodes", "observed_at")
    statement = text(
        f"INSERT INTO gpu_interruptions (gpu_type, {', '.join(names)}) VALUES "  # noqa: S608
        f"(:gpu_type, {', '.join(f':{n}' for n in names)}) "
        "ON CONFLICT (cluster_id, gpu_type) DO UPDATE SET "
        f"{', '.join(f'{n} = EXCLUDED.{n}' for n in names)}"
    )
    rows = [
        {
            "gpu_type": gpu_type,
            "interruptions": each.interruptions,
            "node_hours": each.node_hours,
            "noticed_nodes": sorted(each.noticed),
            "observed_at": each.seen_at,
        }
        for gpu_type, each in counts.items()
    ]
    connection.execute(statement, rows)
