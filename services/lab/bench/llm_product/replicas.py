"""Counts of a service's pools as the operator keeps them: seen, asked for, stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from services.lab.arena.loop import PoolCounts
from services.lab.bench.llm_product.pods import UNTOLD, PodBook
from services.lab.bench.llm_product.setup import POOL, HarmonySetup


@dataclass(slots=True)
class PoolTarget:
    """One pool.

    Attributes:
        spec: Replicas asked for.
        asked_at: When that was last changed.
        book: Its pods.
    """

    spec: int
    asked_at: datetime
    book: PodBook = field(default_factory=PodBook)


class ServiceReplicas:
    """All pools of a service: one, or several under one promise.

    Attributes:
        targets: By pool.
    """

    def __init__(self, setup: HarmonySetup, now: datetime) -> None:
        """Replicas of the start, all ready."""
        self._setup = setup
        initial = {pool.name: pool.initial for pool in setup.pools} or {POOL: setup.initial}
        self.targets = {
            name: PoolTarget(count, now, PodBook(prefix=f"{name}-"))
            for name, count in initial.items()
        }
        self.see({name: PoolCounts(count) for name, count in initial.items()}, now)

    @property
    def counts(self) -> dict[str, int]:
        """Replicas asked for, by pool."""
        return {name: target.spec for name, target in self.targets.items()}

    def see(self, pools: Mapping[str, PoolCounts], now: datetime) -> None:
        """Follow the loop's counts."""
        for name, target in self.targets.items():
            target.book.see(pools[name], target.asked_at, now)

    def take(self, decision: RowMapping, now: datetime) -> None:
        """Ask for what was decided."""
        wanted = {one["name"]: one["desired"] for one in decision["variants"] or ()}
        if not self._setup.pools:
            wanted = {POOL: decision["desired_replicas"]}
        for name, target in self.targets.items():
            if target.spec != wanted[name]:
                target.spec, target.asked_at = int(wanted[name]), now

    def state_row(self, workload_id: int, now: datetime) -> tuple[Any, ...]:
        """A row of `replica_states`: the sums, and with several pools each of them."""
        most = self._setup.max_replicas
        rows = {
            name: one.book.state_row(workload_id, one.spec, max(0, most - len(one.book.pods)), now)
            for name, one in self.targets.items()
        }
        if not self._setup.pools:
            return rows[POOL]
        _, _, spec, ready, starting, pending, ages, *_ = zip(*rows.values(), strict=True)
        figures = {name: _figures(row) for name, row in rows.items()}
        sums = (sum(spec), sum(ready), sum(starting), sum(pending))
        all_ages, column = [age for one in ages for age in one], json.dumps(figures)
        return (workload_id, now, *sums, all_ages, None, column, *UNTOLD)

    def take_starts(self, workload_id: int, now: datetime) -> Sequence[dict[str, Any]]:
        """Rows of `pod_starts` that are new or changed."""
        gpu = self._setup.gpu
        return [
            row
            for one in self.targets.values()
            for row in one.book.take_starts(workload_id, gpu, now)
        ]


def _figures(row: tuple[Any, ...]) -> dict[str, Any]:
    """A pool in the column of parts, as the operator writes it."""
    _, _, spec, ready, starting, pending, ages, room, *_ = row
    return {
        "spec": spec,
        "ready": ready,
        "starting": starting,
        "pending": pending,
        "start_ages_s": [round(age, 3) for age in ages],
        "schedulable_gpus": room,
        "held": "",
    }
