"""Rows of change freezes to what the API returns; pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from services.admin.freezes.schemas import FreezeView


def to_freeze(row: RowMapping, now: datetime) -> FreezeView:
    """A change freeze."""
    values: dict[str, Any] = dict(row)
    is_standing = row["lifted_at"] is None and row["from_at"] <= now < row["until_at"]
    return FreezeView.model_validate(values | {"workload": row["name"], "is_in_force": is_standing})
