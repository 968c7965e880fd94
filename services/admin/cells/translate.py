"""Rows of a cluster to a cell; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from services.admin.cells.schemas import CellGpusView, CellView
from services.admin.rest.translate import finite
from services.kernel.db.clusters import Cluster

ANY_TYPE = "*"
"""The row of budgets that stands for every type without one of its own."""


@dataclass(frozen=True, slots=True)
class CellRows:
    """Rows of one cluster.

    Attributes:
        decided: Workloads, and how fresh their decisions are.
        used: GPUs by type.
        budgets: Rows of `gpu_budgets` by type.
        prices: What the newest valid decision says of each.
        parts: Parts of totals over the cells by type.
    """

    decided: RowMapping
    used: Sequence[RowMapping]
    budgets: Mapping[str, RowMapping]
    prices: Mapping[str, RowMapping]
    parts: Mapping[str, int]


def to_cell(rows: CellRows, cluster: Cluster) -> CellView:
    """A cell; a type with a budget that nobody uses is there too."""
    used = {row["gpu_type"]: row for row in rows.used}
    types = sorted({*used, *rows.budgets, *rows.parts} - {ANY_TYPE})
    return CellView(
        cluster=cluster.name,
        operator_seen_at=cluster.operator_seen_at,
        gpus=[_gpus(rows, name, used.get(name)) for name in types],
        **dict(rows.decided),
    )


def _gpus(rows: CellRows, gpu_type: str, used: RowMapping | None) -> CellGpusView:
    name = gpu_type if gpu_type in rows.budgets else ANY_TYPE
    budget, price = rows.budgets.get(name), rows.prices.get(name)
    stored: dict[str, Any] = (price["gpu_budget"] if price else None) or {}
    is_known = used is None or not used["is_unmeasured"]
    return CellGpusView(
        gpu_type=gpu_type,
        n_workloads=used["n_workloads"] if used else 0,
        used_gpus=(int(used["used_gpus"]) if used else 0) if is_known else None,
        is_budgeted=budget is not None,
        budget_gpus=budget["gpus"] if budget else None,
        cell_gpus=rows.parts.get(gpu_type),
        price_usd_per_gpu_hour=finite(stored.get("price_usd_per_gpu_hour")),
    )
