"""What the other shards hold of the GPU budgets, added up once for each change.

Whatever changes a holding marks its shard (triggers of migration 0016). Whoever reads next, under
the lock of the type, adds up the marked shards again and stores that for the rest: so a shard's
ledger reads its own workloads and those that changed, whatever the size of the fleet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, RowMapping

from decider import PRICES, IntArray
from services.decision.budgets import repository, shares_repository
from services.decision.budgets.holdings import Holding, to_holding
from services.decision.budgets.part_budgets import PartHoldings, part_holdings
from services.kernel.db.clusters import FIRST, cluster_of
from services.kernel.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What a shard has of a GPU type.

    Attributes:
        held_gpus: What its workloads run or were granted, whichever is more of each.
        demand_gpus: (Q,) GPUs that they would take at `PRICES`.
    """

    gpu_type: str
    shard: int
    held_gpus: int
    demand_gpus: IntArray

    @property
    def is_any(self) -> bool:
        """Whether it is more than nothing."""
        return self.held_gpus > 0 or bool(self.demand_gpus.any())


@dataclass(frozen=True, slots=True)
class FleetHoldings:
    """Who holds what of the budgeted types.

    Attributes:
        holdings: Workloads of the shards that are decided on.
        by_part: The same of workloads with variants or pools, in GPUs.
        shares: All other shards that have any, added up.
    """

    holdings: dict[int, Holding] = field(default_factory=dict)
    by_part: PartHoldings = field(default_factory=dict)
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class ShareReader:
    """Reads holdings within a transaction that has the locks of the types.

    Attributes:
        gpu_types: Types with a budget that can be read.
        now: Aware.
    """

    connection: Connection
    settings: Settings
    gpu_types: Sequence[str]
    now: datetime

    def read(self, own_ids: Collection[int], cluster_id: int = FIRST) -> FleetHoldings:
        """Holdings of the shards of some workloads one by one, and of the others added up.

        Of the cluster of these workloads; without any, of the one that is given.
        """
        if not self.gpu_types:
            return FleetHoldings()
        connection, version = self.connection, self.settings.policy_version
        snapshot = shares_repository.load_snapshot(connection)
        own = shares_repository.load_own_shards(connection, list(own_ids))
        # a run's workloads are of one shard
        cluster_id = cluster_of(min(own)) if own else cluster_id
        others = sorted(shares_repository.load_shards(connection, cluster_id) - own)
        stored = shares_repository.load_shares(
            connection, self.gpu_types, others, version, self.now
        )
        known = {(r["gpu_type"], int(r["shard"])): _to_share(r) for r in stored if r["is_fresh"]}
        out_of_date = {s for s in others for t in self.gpu_types if (t, s) not in known}
        found = self._holdings(sorted(own | out_of_date))
        if out_of_date:
            made = self._added_up(found, out_of_date)
            before = {(r["gpu_type"], int(r["shard"])) for r in stored}
            rows = [
                self._row(one, found, snapshot, is_first=(one.gpu_type, one.shard) not in before)
                for one in made
            ]
            shares_repository.store_shares(connection, rows, self.now)
            known |= {(one.gpu_type, one.shard): one for one in made}
        return FleetHoldings(
            {id_: h for id_, h in found.holdings.items() if h.shard in own},
            {key: h for key, h in found.by_part.items() if h.shard in own},
            tuple(known[key] for key in sorted(known) if known[key].is_any),
        )

    def last_known(self, own_ids: Collection[int]) -> tuple[Share, ...]:
        """Shares of the other shards as they are stored, out of date or not; needs no lock."""
        if not self.gpu_types:
            return ()
        own = shares_repository.load_own_shards(self.connection, list(own_ids))
        cluster_id = cluster_of(min(own)) if own else FIRST
        others = sorted(shares_repository.load_shards(self.connection, cluster_id) - own)
        stored = shares_repository.load_shares(
            self.connection, self.gpu_types, others, self.settings.policy_version, self.now
        )
        found = {(r["gpu_type"], int(r["shard"])): _to_share(r) for r in stored}
        return tuple(found[key] for key in sorted(found) if found[key].is_any)

    def _holdings(self, shards: Sequence[int]) -> _Holdings:
        given = (self.connection, self.gpu_types, self.settings.policy_version, self.now, shards)
        rows = repository.load_holdings(*given)
        holdings = {int(r["id"]): to_holding(r, self.settings, self.now) for r in rows}
        parts = repository.load_part_holdings(*given)
        by_part: PartHoldings = {}
        for row in parts:
            by_part |= part_holdings(row, self.gpu_types, self.settings, self.now)
        good_until: dict[int, datetime] = {}
        for row in (*rows, *parts):
            until = min(self._changes_at(row), good_until.get(int(row["shard"]), _NEVER))
            good_until[int(row["shard"])] = until
        return _Holdings(holdings, by_part, good_until)

    def _changes_at(self, row: RowMapping) -> datetime:
        """When time alone will change a holding: its decision or its claim runs out."""
        valid = timedelta(seconds=int(row["step_s"])) * self.settings.stale_after_steps
        if "claims" in row:
            claims = (row["claims"] or {}).values()
            claimed = [datetime.fromtimestamp(float(c["claimed_s"]), UTC) for c in claims]
        else:
            claimed = [] if row["claimed_at"] is None else [row["claimed_at"]]
        decided = [] if row["valid_until"] is None else [row["valid_until"]]
        ends = (*decided, *(at + valid for at in claimed))
        return min([at for at in ends if at > self.now], default=_NEVER)

    def _added_up(self, found: _Holdings, shards: Collection[int]) -> list[Share]:
        """A share of each type for each shard, also where it is nothing."""
        held: dict[tuple[str, int], int] = {}
        demand: dict[tuple[str, int], IntArray] = {}
        for one in (*found.holdings.values(), *found.by_part.values()):
            key = (one.gpu_type, one.shard)
            held[key] = held.get(key, 0) + one.gpus_per_replica * one.held_replicas
            demand[key] = demand.get(key, _nothing()) + one.demand_gpus
        return [
            Share(t, s, held.get((t, s), 0), demand.get((t, s), _nothing()))
            for t in self.gpu_types
            for s in sorted(shards)
        ]

    def _row(
        self, share: Share, found: _Holdings, snapshot: str, *, is_first: bool
    ) -> tuple[Any, ...]:
        # Marks are made only where there are shares: of a first one those of transactions that are
        # under way may be missing, so it is made again a step later in any case.
        n_steps = 1 if is_first else self.settings.stale_after_steps
        latest = self.now + timedelta(seconds=self.settings.step_s) * n_steps
        until = min(found.good_until.get(share.shard, latest), latest)
        version, demand = self.settings.policy_version, share.demand_gpus.tolist()
        return (share.gpu_type, share.shard, version, share.held_gpus, demand, snapshot, until)


@dataclass(frozen=True, slots=True)
class _Holdings:
    """Holdings of some shards, and until when time alone changes nothing in each."""

    holdings: dict[int, Holding]
    by_part: PartHoldings
    good_until: dict[int, datetime]


_NEVER = datetime.max.replace(tzinfo=UTC)


def _nothing() -> IntArray:
    return np.zeros(PRICES.size, dtype=np.int64)


def _to_share(row: RowMapping) -> Share:
    demand = np.array(row["demand_gpus"], dtype=np.int64)
    return Share(row["gpu_type"], int(row["shard"]), int(row["held_gpus"]), demand)


def by_shard(holdings: Iterable[Holding]) -> list[Share]:
    """Holdings of one type added up, one share for each shard."""
    found: dict[int, Share] = {}
    for one in holdings:
        before = found.get(one.shard, Share(one.gpu_type, one.shard, 0, _nothing()))
        held = before.held_gpus + one.gpus_per_replica * one.held_replicas
        demand = before.demand_gpus + one.demand_gpus
        found[one.shard] = Share(one.gpu_type, one.shard, held, demand)
    return list(found.values())
