"""Rows of GPU budgets to what the API returns; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from services.admin.budgets.schemas import BudgetView, GivenUpView, HeadroomView, SupplyView
from services.admin.rest.translate import finite
from services.kernel.domain import SlaSpec


@dataclass(frozen=True, slots=True)
class BudgetRows:
    """Rows about one budget.

    Attributes:
        budget: Its row.
        usage: What its workloads use; None: it has none.
        price: What the newest valid decision says of it; None: there is no such decision.
        given_up: Decisions that it cut and that may be seen, those that lost most first.
        n_cut: All that it cut.
        supply: Where the GPUs of its type come from; None: nothing is known.
        headroom: What is advised to be held ready; None: nothing is.
    """

    budget: RowMapping
    usage: RowMapping | None
    price: RowMapping | None
    given_up: Sequence[RowMapping]
    n_cut: int = 0
    supply: RowMapping | None = None
    headroom: RowMapping | None = None


def to_budget(rows: BudgetRows, oldest: datetime, cluster: str = "") -> BudgetView:
    """A budget of a cluster; one confirmed before `oldest` is stale."""
    budget, usage = rows.budget, rows.usage
    n_workloads, n_unmeasured = (usage["n_workloads"], usage["n_unmeasured"]) if usage else (0, 0)
    used = None if n_unmeasured else int(usage["used_gpus"]) if usage else 0
    limits = [budget["gpus"], *([budget["cell_gpus"]] if budget["is_of_total"] else [])]
    free = None if used is None or None in limits else min(limits) - used
    stored: dict[str, Any] = (rows.price["gpu_budget"] if rows.price else None) or {}
    return BudgetView(
        cluster=cluster,
        gpu_type=budget["gpu_type"],
        gpus=budget["gpus"],
        cell_gpus=budget["cell_gpus"],
        source=budget["source"],
        reason=budget["reason"],
        observed_at=budget["observed_at"],
        is_stale=budget["observed_at"] < oldest,
        n_workloads=n_workloads,
        n_unmeasured=n_unmeasured,
        used_gpus=used,
        free_gpus=free,
        price_usd_per_gpu_hour=finite(stored.get("price_usd_per_gpu_hour")),
        is_feasible=stored.get("is_feasible"),
        decided_at=rows.price["decided_at"] if rows.price else None,
        n_cut=rows.n_cut,
        supply=None if rows.supply is None else to_supply(rows.supply, rows.headroom, oldest),
        gave_up=[to_given_up(row) for row in rows.given_up],
    )


def to_supply(row: RowMapping, headroom: RowMapping | None, oldest: datetime) -> SupplyView:
    """Where GPUs come from, and what is to be held ready; advice of before `oldest` is stale."""
    is_refused = row["refused_at"] is not None
    return SupplyView(
        mode="fixed" if row["ceiling"] is None else "provisioned",
        ceiling=row["ceiling"],
        node_gpus=row["node_gpus"],
        asked_gpus=row["asked_gpus"],
        reason=row["reason"],
        message=row["message"],
        node_startup_s=row["startup_median_s"],
        n_startups=row["n_startups"],
        refusal=row["refusal"] if is_refused else "",
        retry_at=row["retry_at"] if is_refused else None,
        headroom=None if headroom is None else to_headroom(headroom, oldest),
    )


def to_headroom(row: RowMapping, oldest: datetime) -> HeadroomView:
    """What is to be held ready."""
    fields = HeadroomView.model_fields.keys() - {"is_stale"}
    known = {name: row[name] for name in fields}
    return HeadroomView(**known, is_stale=row["advised_at"] < oldest)


def to_given_up(row: RowMapping) -> GivenUpView:
    """Replicas that one workload gave up."""
    sla = SlaSpec.model_validate(row["sla"] or {}, extra="ignore")
    return GivenUpView(
        decision_id=row["decision_id"],
        decided_at=row["decided_at"],
        namespace=row["namespace"],
        workload=row["name"],
        sla_class=sla.sla_class,
        priority=sla.priority_in_force,
        wanted_replicas=row["wanted_replicas"],
        granted_replicas=row["granted_replicas"],
        gpus=row["gpus"],
        reason=row["reason"],
        price_usd_per_gpu_hour=finite(row["price_usd_per_gpu_hour"]),
    )
