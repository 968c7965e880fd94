"""GPU budgets while a shard decides, and what the rest of the fleet holds of them.

The budgets hold over all shards, so the transaction that decides holds a lock per GPU type from
the moment it reads what the others hold until its own decisions are committed. What goes before the
budgets is planned without the lock, and granted by what the others were last known to hold: under
the lock only what that changes is made again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, RowMapping

from decider import PRICES, Decision, Elsewhere, KnownBudgets
from services.decision.budgets import repository
from services.decision.budgets.holdings import (
    Holding,
    is_granted,
    to_holding as to_holding,
)
from services.decision.budgets.part_budgets import (
    PartHoldings,
    binding_type,
    gpu_types_of,
    granted_holdings,
    lost_gpus,
)
from services.decision.budgets.shares import Share, ShareReader, by_shard
from services.decision.rows.members import ShardMember
from services.decision.rows.prepare import Prepared, RequestRow
from services.decision.rows.service_decision import ServiceDecision
from services.kernel.db.clusters import FIRST
from services.kernel.settings import Settings

ANY_TYPE = "*"
"""The row that stands for every type without one of its own."""
N_NAMED = 10
"""Workloads that an explanation names at most."""


@dataclass(slots=True)
class Ledger:
    """Budgets and holdings, kept up as the groups of a shard are decided.

    Attributes:
        budgets: GPUs by type; None: could not be read; a type that is absent has no budget.
        holdings: Workloads of the shard, of the types that have a readable budget.
        by_part: The same of workloads with variants or pools, in GPUs, by workload id and type.
        shares: What the other shards hold of these types, added up.
        claims: Rows of `gpu_claims` of what was decided.
        variant_claims: Rows of `variant_claims`.
    """

    budgets: Mapping[str, int | None] = field(default_factory=dict)
    holdings: dict[int, Holding] = field(default_factory=dict)
    by_part: PartHoldings = field(default_factory=dict)
    shares: tuple[Share, ...] = ()
    claims: list[tuple[Any, ...]] = field(default_factory=list)
    variant_claims: list[tuple[Any, ...]] = field(default_factory=list)

    def _shares(self, gpu_type: str, but: Collection[int] = ()) -> list[Share]:
        """One share of a type for each shard, without some workloads of the shard itself."""
        own = [(id_, h) for id_, h in self.holdings.items() if h.gpu_type == gpu_type]
        own += [(id_, h) for (id_, _), h in self.by_part.items() if h.gpu_type == gpu_type]
        others = [one for one in self.shares if one.gpu_type == gpu_type]
        return [*by_shard(h for id_, h in own if id_ not in but), *others]

    def elsewhere(self, gpu_type: str, decided_now: Collection[int]) -> Elsewhere:
        """Holdings of a type but for those that are decided now; one part for each shard."""
        parts = self._shares(gpu_type, decided_now)
        return Elsewhere(
            np.array([one.held_gpus for one in parts], dtype=np.int64),
            np.array([one.demand_gpus for one in parts], dtype=np.int64).reshape(
                len(parts), PRICES.size
            ),
        )

    def price(self, gpu_type: str) -> float | None:
        """Shadow price of a budget over the whole fleet, in USD per GPU-hour.

        The least of `PRICES` at which all that is taken fits: 0 where the budget is not scarce,
        infinite where what nobody may take away exceeds it, None without a readable budget.
        """
        budget = self.budgets.get(gpu_type)
        if budget is None:
            return None
        taken = np.zeros(PRICES.size, dtype=np.int64)
        for one in self._shares(gpu_type):
            taken += one.demand_gpus
        fits = taken <= budget
        return float(PRICES[int(np.argmax(fits))]) if fits.any() else math.inf


def last_known(
    connection: Connection, settings: Settings, members: Collection[ShardMember], now: datetime
) -> Ledger:
    """Budgets, and what other shards held when that was last added up; arguments as `open_ledger`.

    Nothing is locked and nothing added up anew: it is there to plan by, never to grant by.
    """
    types = sorted({name for m in members for name in gpu_types_of(m)})
    cluster_id = next((m.cluster_id for m in members), FIRST)  # a shard is of one cluster
    budgets = _load_budgets(connection, settings, types, cluster_id, now)
    fleet = ShareReader(connection, settings, _readable(budgets), now).last_known(
        {m.id for m in members}
    )
    return Ledger(budgets, shares=fleet)


def open_ledger(
    connection: Connection,
    settings: Settings,
    members: Collection[ShardMember],
    now: datetime,
    beside: Collection[str] = (),
) -> Ledger:
    """Lock the members' budgets and read who holds what.

    A transaction that opens several ledgers locks the budgets of all of them with the first: were
    each to lock its own, two transactions could wait for each other. A savepoint that is rolled
    back gives back all that were locked in it, never some of them.

    Args:
        connection: The transaction that will store the decisions; the locks end with it.
        settings: How old a budget may be.
        members: Workloads of the shard.
        now: Aware.
        beside: GPU types of the transaction's other ledgers.
    """
    types = sorted({name for m in members for name in gpu_types_of(m)})
    cluster_id = next((m.cluster_id for m in members), FIRST)  # a shard is of one cluster
    if not repository.load_budgets(connection, [*types, ANY_TYPE], cluster_id):
        return Ledger()
    repository.lock_budgets(connection, sorted({*types, *beside}), cluster_id)
    budgets = _load_budgets(connection, settings, types, cluster_id, now)
    known = _readable(budgets)
    fleet = ShareReader(connection, settings, known, now).read({m.id for m in members})
    return Ledger(budgets, fleet.holdings, fleet.by_part, fleet.shares)


def gpus_left(
    connection: Connection, settings: Settings, gpu_type: str, cluster_id: int, now: datetime
) -> int | None:
    """GPUs of a type's budget that no workload holds; None: it has no budget.

    Of a budget that cannot be read nothing is left, since nothing may be added under it. One that
    can is locked until the transaction ends, which should be soon.
    """
    budgets = _load_budgets(connection, settings, [gpu_type], cluster_id, now)
    if not _readable(budgets):
        return 0 if budgets else None
    repository.lock_budgets(connection, [gpu_type], cluster_id)
    fleet = ShareReader(connection, settings, [gpu_type], now).read((), cluster_id)
    return max(0, (budgets[gpu_type] or 0) - sum(share.held_gpus for share in fleet.shares))


def _load_budgets(
    connection: Connection,
    settings: Settings,
    types: Sequence[str],
    cluster_id: int,
    now: datetime,
) -> dict[str, int | None]:
    oldest = now - timedelta(seconds=settings.step_s) * settings.stale_after_steps
    rows = repository.load_budgets(connection, [*types, ANY_TYPE], cluster_id)
    return to_budgets(rows, types, oldest)


def _readable(budgets: Mapping[str, int | None]) -> list[str]:
    return [name for name, gpus in budgets.items() if gpus is not None]


def to_budgets(
    rows: Sequence[RowMapping], types: Sequence[str], oldest: datetime
) -> dict[str, int | None]:
    """Budgets by type; one that is older than `oldest` could not be read."""
    by_type = {row["gpu_type"]: row for row in rows}
    budgets: dict[str, int | None] = {}
    for name in types:
        row = by_type.get(name, by_type.get(ANY_TYPE))
        if row is None:
            continue
        is_known = row["gpus"] is not None and row["observed_at"] >= oldest
        budgets[name] = int(row["gpus"]) if is_known else None
    return budgets


def budget_view(prepared: Prepared, ledger: Ledger) -> KnownBudgets:
    """The budgets of a request's types, and what is held of them by those not decided with it."""
    types = {name for member in prepared.members for name in gpu_types_of(member)}
    budgets = {name: gpus for name, gpus in ledger.budgets.items() if name in types}
    ids = {m.id for m in prepared.members}
    elsewhere = {name: ledger.elsewhere(name, ids) for name in _readable(budgets)}
    return KnownBudgets(budgets, elsewhere)


def note_decisions(ledger: Ledger, decided: Sequence[ServiceDecision], now: datetime) -> None:
    """Count what was granted, for the groups that are decided next and for other shards."""
    for made in decided:
        granted, claims = granted_holdings(ledger.by_part, made, now)
        ledger.by_part |= granted
        ledger.variant_claims += claims
        member, decision = made.member, made.whole
        holding = ledger.holdings.get(member.id)
        if holding is None:
            continue
        most = max(decision.current, decision.final)
        held = most if is_granted(member.spec.mode) else holding.held_replicas
        demand = (
            np.array(decision.budget_demand, dtype=np.int64) if decision.budget_demand else None
        )
        ledger.holdings[member.id] = replace(holding, held_replicas=held, demand=demand)
        if decision.budget_demand:
            ledger.claims.append((member.id, list(decision.budget_demand), now))


def explanations(
    prepared: Prepared, view: KnownBudgets, decisions: Sequence[Decision], ledger: Ledger
) -> dict[str, dict[str, object]]:
    """By GPU type: the budget and who gave up most, to be stored with each decision of the type.

    Args:
        prepared: What was decided on.
        view: The budgets that it was decided under.
        decisions: The decisions.
        ledger: Holdings after them, for the price over the whole fleet.
    """
    found: dict[str, dict[str, object]] = {}
    known = sorted(view.gpu_budgets)
    for name, gpus in view.gpu_budgets.items():
        others = view.elsewhere.get(name)
        cut = [
            _given_up(row, decision, name)
            for row, decision in zip(prepared.rows, decisions, strict=True)
            if binding_type(row.member, decision, known) == name
            and decision.guard_trace[-1].before > decision.final
        ]
        cut.sort(key=lambda item: (-int(str(item["gpus"])), str(item["workload"])))
        price = ledger.price(name)
        is_feasible = None if price is None else math.isfinite(price)
        found[name] = {
            "gpu_type": name,
            "gpus": gpus,
            "held_elsewhere_gpus": None if others is None else int(others.held_gpus.sum()),
            "price_usd_per_gpu_hour": price if is_feasible else None,
            "is_feasible": is_feasible,
            "n_cut": len(cut),
            "gave_up": cut[:N_NAMED],
        }
    return found


def explained_type(made: ServiceDecision, known: Sequence[str]) -> str:
    """The GPU type whose budget a decision is explained by: of pools that of one that was cut."""
    types: list[str] = []
    for row, decision in zip(made.rows, made.decisions, strict=True):
        is_cut = decision.guard_trace[-1].before > decision.final
        gpu_type = binding_type(row.member, decision, known)
        types.insert(0 if is_cut else len(types), gpu_type)
    return next((name for name in types if name in known), types[0])


def _given_up(row: RequestRow, decision: Decision, gpu_type: str) -> dict[str, object]:
    wanted, sla = decision.guard_trace[-1].before, row.member.spec.sla
    return {
        "workload": row.member.key,
        "class": sla.sla_class,
        "priority": sla.priority_in_force,
        "wanted": wanted,
        "granted": decision.final,
        "gpus": lost_gpus(row, gpu_type, wanted - decision.final),
    }
