"""Use case: cells that share a total of GPUs exchange prices, and parts move toward the higher one.

Within its part each cell decides for itself, as within a budget. What it tells the others is what
it holds and what one GPU more would be worth to it; no demand of a workload crosses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Connection

from decider import PRICES, Cell, exchange, first_parts
from services.decision.budgets import exchange_repository, repository
from services.decision.budgets.shares import ShareReader
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import unit_of_work


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
    now = deps.clock.now()
    before = now - timedelta(seconds=deps.settings.step_s)
    n_exchanged = 0
    # a transaction for each type: a shard that locks two of them waits for one of these at most
    while True:
        with unit_of_work(deps.engine) as work:
            exchange_repository.lock_parts(work.connection)
            exchange_repository.drop_parts(work.connection)
            due = exchange_repository.load_due(work.connection, before)
            if not due:
                return n_exchanged
            gpu_type, total = next(iter(due.items()))
            _exchange(work.connection, deps, gpu_type, total, now)
        n_exchanged += 1


def _exchange(
    connection: Connection, deps: DecisionDeps, gpu_type: str, total: int, now: datetime
) -> None:
    rows = exchange_repository.load_parts(connection, gpu_type)
    told = [_told(connection, deps, gpu_type, int(row["cluster_id"]), now) for row in rows]
    if all(row["gpus"] is None for row in rows):
        parts = first_parts(total, [each.held_gpus for each in told])
        prices = [each.price(part) for each, part in zip(told, parts, strict=True)]
    else:
        before = [int(row["gpus"] or 0) for row in rows]
        prices = [each.price(part) for each, part in zip(told, before, strict=True)]
        cells = [
            Cell(part, each.held_gpus, price)
            for part, each, price in zip(before, told, prices, strict=True)
        ]
        parts = exchange(total, cells)
    for row, each, part, price in zip(rows, told, parts, prices, strict=True):
        stored = {"cluster_id": row["cluster_id"], "gpu_type": gpu_type, "gpus": part, "now": now}
        known = price if math.isfinite(price) else None
        exchange_repository.store_part(
            connection, stored | {"held_gpus": each.held_gpus, "price": known}
        )


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
