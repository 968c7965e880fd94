"""Rows of a cluster to a cell; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import RowMapping

from services.admin.cells.schemas import (
    CellGpusView,
    CellView,
    LedgerView,
    PeerView,
    SharesView,
    TotalView,
)
from services.admin.rest.translate import finite
from services.kernel.db.clusters import DatabaseIdentity, KnownCluster
from services.kernel.security.peers import PeerAnswer

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


def to_cell(rows: CellRows, cluster: KnownCluster) -> CellView:
    """A cell; a type with a budget that nobody uses is there too."""
    used = {row["gpu_type"]: row for row in rows.used}
    types = sorted({*used, *rows.budgets, *rows.parts} - {ANY_TYPE})
    return CellView(
        cluster=cluster.name,
        operator_seen_at=cluster.operator_seen_at,
        gpus=[_gpus(rows, name, used.get(name)) for name in types],
        **dict(rows.decided),
    )


def to_shares(
    me: DatabaseIdentity, totals: Sequence[RowMapping], ledgers: Sequence[RowMapping]
) -> SharesView:
    """What this database tells others."""
    found = []
    for row in totals:
        own = [
            LedgerView(
                peer=each["peer"],
                given_gpus=each["given_gpus"],
                taken_gpus=each["taken_gpus"],
            )
            for each in ledgers
            if each["gpu_type"] == row["gpu_type"]
        ]
        found.append(TotalView(**dict(row), ledgers=own))
    return SharesView(identity=me.identity, name=me.name, totals=found)


def to_peer(answer: PeerAnswer) -> PeerView:
    """Another database as it answered; an answer of another shape is none."""
    cells: list[CellView] = []
    problem = answer.problem
    if answer.document is not None:
        try:
            cells = [CellView.model_validate(each) for each in answer.document["items"]]
        except (KeyError, TypeError, ValidationError):
            problem = "its answer cannot be read"
    is_reachable = not problem
    since = None if is_reachable else answer.unreachable_since or answer.read_at
    return PeerView(
        peer=answer.peer,
        is_reachable=is_reachable,
        reason=problem,
        seen_at=answer.read_at,
        unreachable_at=since,
        cells=cells,
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
