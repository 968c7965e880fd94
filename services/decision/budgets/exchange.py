"""Use case: cells that share a total of GPUs exchange prices, and parts move toward the higher one.

Within its part each cell decides for itself, as within a budget. What it tells the others is what
it holds and what one GPU more would be worth to it; no demand of a workload crosses. The same holds
between databases of cells, which read each other's totals (`decider.budget.peers`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog
from sqlalchemy import Connection

from decider import PRICES, BudgetCell, PeerLedger, first_parts, give_to_peer
from services.decision.budgets import exchange_repository, peers_repository, repository
from services.decision.budgets.peers import (
    PeerTotal,
    as_cell,
    dearest,
    take_from,
    told_totals,
)
from services.decision.budgets.shares import ShareReader
from services.decision.wiring import DecisionDeps
from services.kernel.db.clusters import load_identity
from services.kernel.db.session import unit_of_work
from services.kernel.security.peers import SHARES_PATH

log = structlog.get_logger("decision")


@dataclass(frozen=True, slots=True)
class _Told:
    """What a cell holds of a GPU type, and GPUs that it would take at each of `PRICES`."""

    held_gpus: int
    demand_gpus: np.ndarray[tuple[int], np.dtype[np.int64]]

    def price(self, gpus: int) -> float:
        """What one GPU more than `gpus` is worth; infinite: the least that is needed is more."""
        fits = self.demand_gpus <= gpus
        return float(PRICES[int(np.argmax(fits))]) if fits.any() else math.inf


def exchange_parts(deps: DecisionDeps) -> int:
    """Exchange the parts of every total that is due, once per step; the number exchanged."""
    with deps.engine.connect() as connection:
        now = deps.now(connection)
    before = now - timedelta(seconds=deps.settings.step_s)
    told, n_exchanged = _read_peers(deps, before), 0
    # a transaction for each type: a shard that locks two of them waits for one of these at most
    while True:
        with unit_of_work(deps.engine) as work:
            exchange_repository.lock_parts(work.connection)
            exchange_repository.drop_parts(work.connection)
            due = exchange_repository.load_due(work.connection, before)
            if not due:
                return n_exchanged
            gpu_type, total = next(iter(due.items()))
            others = told.get(gpu_type, ())
            if others:
                total = peers_repository.lock_total(work.connection, gpu_type) or 0
                total = take_from(work.connection, gpu_type, total, others)
            given = _exchange(work.connection, deps, _Amount(gpu_type, total, others), now)
            if others:
                peers_repository.store_total(work.connection, gpu_type, total - given)
        n_exchanged += 1


def _read_peers(deps: DecisionDeps, before: datetime) -> dict[str, list[PeerTotal]]:
    """What other databases tell, where an exchange is due; asked before anything is locked."""
    if deps.peers is None or not deps.peers.peers:
        return {}
    with deps.engine.connect() as connection:
        if not exchange_repository.load_due(connection, before):
            return {}
        me = load_identity(connection)
    return told_totals(deps.peers.read(SHARES_PATH), me)


@dataclass(frozen=True, slots=True)
class _Amount:
    """What this database has of a GPU type, and what others tell of theirs."""

    gpu_type: str
    gpus: int
    others: Sequence[PeerTotal]


def _exchange(connection: Connection, deps: DecisionDeps, amount: _Amount, now: datetime) -> int:
    """Exchange among the cells of this database; returns what is given to another one."""
    gpu_type, total, given = amount.gpu_type, amount.gpus, 0
    rows = exchange_repository.load_parts(connection, gpu_type)
    told = [_told(connection, deps, gpu_type, int(row["cluster_id"]), now) for row in rows]
    if all(row["gpus"] is None for row in rows):
        parts = first_parts(total, [each.held_gpus for each in told])
        prices = [each.price(part) for each, part in zip(told, parts, strict=True)]
    else:
        before = [int(row["gpus"] or 0) for row in rows]
        prices = [each.price(part) for each, part in zip(told, before, strict=True)]
        cells = [
            BudgetCell(part, each.held_gpus, price)
            for part, each, price in zip(before, told, prices, strict=True)
        ]
        parts, given = _give(connection, deps, amount, cells, now)
    for row, each, part, price in zip(rows, told, parts, prices, strict=True):
        stored = {"cluster_id": row["cluster_id"], "gpu_type": gpu_type, "gpus": part, "now": now}
        known = price if math.isfinite(price) else None
        exchange_repository.store_part(
            connection, stored | {"held_gpus": each.held_gpus, "price": known}
        )
    return given


def _give(
    connection: Connection,
    deps: DecisionDeps,
    amount: _Amount,
    cells: Sequence[BudgetCell],
    now: datetime,
) -> tuple[list[int], int]:
    """Parts of the own cells, and what the database to which it is worth most is given."""
    gpu_type = amount.gpu_type
    other = dearest(connection, gpu_type, amount.others, now, deps.settings.step_s)
    found = give_to_peer(amount.gpus, cells, None if other is None else as_cell(other))
    if other is not None and found.given:
        before = peers_repository.load_ledger(connection, other.peer, gpu_type)
        after = PeerLedger(before.given + found.given, before.taken)
        row = peers_repository.LedgerRow(other.peer, gpu_type, other.name)
        peers_repository.store_ledger(connection, row, after, now)
        log.info("gpus_given", to=other.name, gpu_type=gpu_type, gpus=found.given)
    return found.parts, found.given


def _told(
    connection: Connection, deps: DecisionDeps, gpu_type: str, cluster_id: int, now: datetime
) -> _Told:
    repository.lock_budgets(connection, [gpu_type], cluster_id)
    reader = ShareReader(connection, deps.settings, [gpu_type], now)
    shares = reader.read((), cluster_id).shares
    demand = np.zeros(PRICES.size, dtype=np.int64)
    for share in shares:
        demand += share.demand_gpus
    return _Told(sum(share.held_gpus for share in shares), demand)
