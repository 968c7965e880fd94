"""All SQL of headroom as the operator reads it."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, text

from services.operator.plan.headroom import HeadroomAdvice

_COLUMNS = tuple(each.name for each in fields(HeadroomAdvice))


def load_advice(connection: Connection, oldest: datetime) -> dict[str, HeadroomAdvice]:
    """What is advised by GPU type, as far as it was advised since `oldest`."""
    statement = text(
        f"SELECT gpu_type, {', '.join(_COLUMNS)} FROM gpu_headroom WHERE advised_at >= :oldest"  # noqa: S608 - our columns
    )
    rows = connection.execute(statement, {"oldest": oldest})
    return {row[0]: HeadroomAdvice(*row[1:]) for row in rows}
