"""SQL of totals of GPUs over cells, and of the part that each has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

_LOCK = 7016


def lock_parts(connection: Connection) -> None:
    """One exchange at a time, until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def load_due(connection: Connection, before: datetime) -> dict[str, int]:
    """Totals by GPU type of which no part was exchanged since `before`."""
    statement = text(
        "SELECT gpu_type, gpus FROM cell_totals t WHERE NOT EXISTS (SELECT FROM cell_budgets p "
        "WHERE p.gpu_type = t.gpu_type AND p.exchanged_at > :before) ORDER BY gpu_type"
    )
    rows = connection.execute(statement, {"before": before})
    return {str(row[0]): int(row[1]) for row in rows}


def load_parts(connection: Connection, gpu_type: str) -> Sequence[RowMapping]:
    """Every cluster with its part of a type; NULL: it has none yet."""
    statement = text(
        "SELECT c.id AS cluster_id, p.gpus FROM clusters c LEFT JOIN cell_budgets p "
        "ON p.cluster_id = c.id AND p.gpu_type = :gpu_type ORDER BY c.id"
    )
    return connection.execute(statement, {"gpu_type": gpu_type}).mappings().all()


def store_part(connection: Connection, row: dict[str, Any]) -> None:
    """Store a part: cluster_id, gpu_type, gpus, held_gpus, price, now."""
    statement = text(
        "INSERT INTO cell_budgets (cluster_id, gpu_type, gpus, held_gpus, price_usd_per_gpu_hour, "
        "exchanged_at) VALUES (:cluster_id, :gpu_type, :gpus, :held_gpus, :price, :now) "
        "ON CONFLICT (cluster_id, gpu_type) DO UPDATE SET gpus = EXCLUDED.gpus, "
        "held_gpus = EXCLUDED.held_gpus, exchanged_at = EXCLUDED.exchanged_at, "
        "price_usd_per_gpu_hour = EXCLUDED.price_usd_per_gpu_hour"
    )
    connection.execute(statement, row)


def drop_parts(connection: Connection) -> None:
    """Drop the parts of types without a total."""
    connection.execute(
        text("DELETE FROM cell_budgets WHERE gpu_type NOT IN (SELECT gpu_type FROM cell_totals)")
    )
