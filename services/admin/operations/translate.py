"""Rows of operations and frontiers to what the API returns; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from services.admin.operations.schemas import (
    FrontierCurve,
    FrontierPoint,
    FrontierView,
    OperationDetail,
    OperationView,
    RecommendedPromise,
)
from services.admin.rest.translate import finite


def to_operation(row: RowMapping) -> OperationView:
    """An operation."""
    return OperationView.model_validate(dict(row) | {"progress": finite(row["progress"])})


def to_operation_detail(row: RowMapping) -> OperationDetail:
    """An operation with its result."""
    return OperationDetail.model_validate(dict(row) | {"progress": finite(row["progress"])})


def to_frontier(row: RowMapping) -> FrontierView:
    """The frontiers that a backtest left: Harmony's first, the oracle's last, others by name.

    A database gives them back in an order of its own.
    """
    result: Mapping[str, Any] = row["result"]
    recommended = result.get("recommended")
    return FrontierView(
        backtest_id=row["id"],
        workloads=list(row["params"]["workloads"]),
        replay_hours=result["simulated_hours"],
        finished_at=row["finished_at"],
        curves=[
            FrontierCurve(policy=name, points=[FrontierPoint.model_validate(p) for p in points])
            for name, points in sorted(result["frontiers"].items(), key=lambda one: _place(one[0]))
        ],
        recommended=RecommendedPromise.model_validate(recommended) if recommended else None,
        advice=result.get("advice", ""),
    )


def _place(policy: str) -> tuple[bool, bool, str]:
    return not policy.startswith("harmony"), policy == "oracle", policy
