"""Budgets and the pools of a service: no pool is raised by breaking the promise through another.

A budget shares GPUs by what each pool loses alone. Between the pools of one service that can take
from one to give to another; that stands only where the promise holds with it, or is not farther
from holding than without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from decider.budget.budget import DraftedShard
from decider.budget.reasons import Grant
from decider.planning.pool_risk import PoolRisk
from decider.tables.candidates import effective_bounds
from decider.types import IntArray


def keep_promises(shard: DraftedShard, grants: Sequence[Grant]) -> list[Grant]:
    """Take back exchanges between pools that the promise of their service does not bear.

    A pool that a budget cut below what it runs gets replicas back from those of its GPU type that
    were raised, as many as bring the joint risk lowest, unless it keeps the level as it is.

    Args:
        shard: The shard.
        grants: What the budgets leave of each row.
    """
    kept = list(grants)
    for one in shard.outlook.services:
        at = list(one.rows)
        if any(shard.request.workloads[row].verdict is not None for row in at):
            continue
        counts = np.array([kept[row].final for row in at], dtype=np.int64)
        if not any(_due(shard, row, kept[row].final) > 0 for row in at):
            continue
        found = _best(shard, one, counts)
        for i in np.flatnonzero(found != counts):
            row, names = at[i], _names(shard, one, found, counts, int(i))
            n = int(found[i])
            kept[row] = replace(kept[row], final=n, cap=n, detail=names)
    return kept


def _due(shard: DraftedShard, row: int, count: int) -> int:
    """Replicas that a budget took from what a pool runs and goes on asking for."""
    running = shard.request.workloads[row].replicas.spec
    return min(running, shard.drafts[row].guarded) - count


def _best(shard: DraftedShard, one: PoolRisk, counts: IntArray) -> IntArray:
    """(P,) counts after exchanges were taken back."""
    level = shard.outlook.level[one.rows[0]]
    risk = _risk(shard, one, counts)
    while risk > level:
        options = list(_returns(shard, one, counts))
        risks = [_risk(shard, one, option) for option in options]
        if not risks or min(risks) >= risk:
            break
        best = int(np.argmin(risks))
        counts, risk = options[best], risks[best]
    return counts


def _risk(shard: DraftedShard, one: PoolRisk, counts: IntArray) -> float:
    outlook, grid = shard.outlook, shard.outlook.grid
    alone = [
        outlook.charge[row, grid.row_index(row, counts[i : i + 1])[0]]
        + outlook.risk_of_losses(row, int(counts[i]))
        for i, row in enumerate(one.rows)
    ]
    return one.charge(np.array(alone), counts)


def _returns(shard: DraftedShard, one: PoolRisk, counts: IntArray) -> Iterator[IntArray]:
    """Counts with replicas of a raised pool given back to one that was cut."""
    pools = [shard.request.workloads[row] for row in one.rows]
    for i, cut in enumerate(pools):
        due = _due(shard, one.rows[i], int(counts[i]))
        for j, raised in enumerate(pools):
            spare = int(counts[j]) - max(raised.replicas.spec, effective_bounds(raised)[0])
            if raised.hardware.gpu_type != cut.hardware.gpu_type:
                continue
            for n in range(1, due + 1):
                paid = -(-n * cut.hardware.gpus_per_replica // raised.hardware.gpus_per_replica)
                if paid > spare:
                    break
                option = counts.copy()
                option[i] += n
                option[j] -= paid
                yield option


def _names(shard: DraftedShard, one: PoolRisk, found: IntArray, counts: IntArray, i: int) -> str:
    """What an exchange taken back did to pool `i`, in words."""
    names = []
    for j, row in enumerate(one.rows):
        pool = shard.request.workloads[row].pool
        if pool is not None and (found[j] - counts[j]) * (found[i] - counts[i]) < 0:
            names.append(pool.name)
    others, wanted = ", ".join(names), shard.drafts[one.rows[i]].guarded
    change = f"{found[i]} of {wanted} replicas"
    if found[i] > counts[i]:
        return f"{change}: pool {others} is not raised at its cost, the promise would break"
    return f"{change}: not at the cost of pool {others}, the promise would break"
