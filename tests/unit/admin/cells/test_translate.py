"""Rows of a cluster to a cell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.admin.cells.translate import CellRows, to_cell
from services.kernel.db.clusters import Cluster

AT = datetime(2026, 1, 5, tzinfo=UTC)
DECIDED: Any = {"n_workloads": 2, "n_stale": 1, "decided_at": AT, "oldest_decided_at": None}


def used(gpu_type: str, gpus: int | None) -> Any:
    return {
        "gpu_type": gpu_type,
        "n_workloads": 1,
        "is_unmeasured": gpus is None,
        "used_gpus": gpus,
    }


def test_each_type_has_what_is_used_allowed_and_paid() -> None:
    budgets: Any = {"H100": {"gpus": 8}, "A100": {"gpus": None}}
    prices: Any = {"H100": {"gpu_budget": {"price_usd_per_gpu_hour": 1.5}}, "A100": None}
    rows = CellRows(DECIDED, [used("H100", 6), used("L4", None)], budgets, prices, {"B200": 3})
    cell = to_cell(rows, Cluster(2, "eu", AT))
    assert (cell.cluster, cell.operator_seen_at, cell.n_stale) == ("eu", AT, 1)
    shown = [
        (g.gpu_type, g.used_gpus, g.is_budgeted, g.budget_gpus, g.cell_gpus) for g in cell.gpus
    ]
    assert shown == [
        ("A100", 0, True, None, None),
        ("B200", 0, False, None, 3),
        ("H100", 6, True, 8, None),
        ("L4", None, False, None, None),
    ]
    assert [g.price_usd_per_gpu_hour for g in cell.gpus] == [None, None, 1.5, None]


def test_while_budgets_cannot_be_listed_every_type_has_one_that_is_not_known() -> None:
    budgets: Any = {"*": {"gpus": None}}
    (gpus,) = to_cell(CellRows(DECIDED, [used("L4", 2)], budgets, {}, {}), Cluster(1, "a")).gpus
    assert (gpus.gpu_type, gpus.is_budgeted, gpus.budget_gpus) == ("L4", True, None)
