"""Rows of SLA classes to what the API returns; pure."""

from __future__ import annotations

from sqlalchemy import RowMapping

from services.admin.classes.schemas import SlaClassView
from services.admin.rest.translate import finite

_NUMBERS = ("violation_ratio", "measured_ratio", "believed_ratio", "gpu_hours", "cost_usd")


def to_sla_class(row: RowMapping, window_s: float) -> SlaClassView:
    """An SLA class as the workloads carry it."""
    numbers = {name: finite(row[name]) for name in _NUMBERS}
    return SlaClassView.model_validate(dict(row) | numbers | {"window_s": window_s})
