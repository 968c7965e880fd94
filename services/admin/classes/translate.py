"""Rows of SLA classes to what the API returns; pure."""

from __future__ import annotations

from sqlalchemy import RowMapping

from services.admin.classes.schemas import SlaClassView
from services.admin.rest.translate import finite


def to_sla_class(row: RowMapping, window_s: float) -> SlaClassView:
    """An SLA class as the workloads carry it."""
    numbers = {name: finite(row[name]) for name in ("violation_ratio", "gpu_hours", "cost_usd")}
    return SlaClassView.model_validate(dict(row) | numbers | {"measured_window_s": window_s})
