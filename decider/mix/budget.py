"""Mixes under the GPU budgets, shared with the workloads that have no variants.

A budget holds for one GPU type, a mix takes from several. The price of each type is found with the
others held, in turns; at these prices every workload says what it would take of each type, and the
shard's part of each budget follows as for workloads without variants (`decider.budget.budget`).
Within these parts the mixes and the counts of all workloads that share a type are chosen together
(`decider.mix.choice`). Shapes: T GPU types, Q prices, N other shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from decider.budget.budget import (
    DraftedShard,
    SharedBudget,
    claims_of,
    grant_of,
    quota_of,
    share_budgets,
    with_fixed,
)
from decider.budget.fleet import PRICES
from decider.budget.reasons import UNREADABLE, Grant
from decider.fleet_types import Elsewhere
from decider.mix.choice import JointChoice, MixClaim, choose_jointly, demand_of
from decider.mix.options import MixOptions, make_options
from decider.mix.request import mix_request
from decider.types import FloatArray, IntArray, WorkloadInput
from decider.variant_types import MixVerdict, VariantState, whole

N_ROUNDS = 4
"""Turns in which the prices of the types are found."""


@dataclass(frozen=True, slots=True)
class MixGrant:
    """One workload's mix after the budgets.

    Attributes:
        counts: Replicas of each variant.
        limit: What keeps every mix below what was asked for, budgets apart; empty: nothing.
        verdict: The budgets' part in it; None where none concerns the workload.
        demand: By GPU type with a budget, GPUs that would be taken at
            `decider.budget.fleet.PRICES`.
    """

    counts: tuple[int, ...]
    limit: str
    verdict: MixVerdict | None = None
    demand: tuple[tuple[str, tuple[int, ...]], ...] = ()


def share_mixes(shard: DraftedShard, now_s: float) -> tuple[list[Grant], dict[int, MixGrant]]:
    """Grants of all workloads of a shard of which some have variants.

    Returns:
        W grants, and the mixes of the rows that have variants.
    """
    workloads, budgets = shard.request.workloads, shard.request.gpu_budgets
    mixed = [row for row, w in enumerate(workloads) if w.variants is not None]
    closed = tuple(sorted(name for name, gpus in budgets.items() if gpus is None))
    options = dict(
        shard.once(
            ("mixes", closed),
            lambda: {row: make_options(mix_request(shard, row, now_s)) for row in mixed},
        )
    )
    touched = {v.gpu_type for row in mixed for v in _states(workloads[row])}
    types = tuple(name for name in budgets if name in touched and budgets[name] is not None)
    neighbours = [
        row for row, w in enumerate(workloads)
        if w.variants is None and w.verdict is None and w.hardware.gpu_type in types
    ]  # fmt: skip
    grants = share_budgets(shard, {*mixed, *neighbours})
    mixes = {}
    joined = list(neighbours)
    for row in mixed:
        verdict = _states_verdict(workloads[row])
        if verdict is not None:
            mixes[row] = MixGrant(verdict.counts, verdict.limit, verdict)
        elif any(v.gpu_type in types for v in _states(workloads[row])):
            joined.append(row)
        else:
            mixes[row] = _alone(shard, row, options[row])
    for row in neighbours:
        options[row] = _counts_of(shard, row)
    if joined:
        table = _Table(shard, types, options)
        for row, grant in _shared(table, sorted(joined)).items():
            if isinstance(grant, MixGrant):
                mixes[row] = grant
            else:
                grants[row] = grant
    for row, mix in mixes.items():
        grants[row] = _total(shard, row, mix)
    return grants, mixes


def _alone(shard: DraftedShard, row: int, options: MixOptions) -> MixGrant:
    """The cheapest mix of a workload that shares no budget, or none that can be read."""
    best = _plain(options.counts[options.best()])
    unread = _unreadable(shard, row)
    if not unread:
        return MixGrant(best, options.limit)
    return MixGrant(best, options.limit, MixVerdict(best, (), False, unread, options.limit))


def _unreadable(shard: DraftedShard, row: int) -> str:
    """Names of a workload's budgets that cannot be read, in words."""
    budgets = shard.request.gpu_budgets
    names = {v.gpu_type for v in _states(shard.request.workloads[row])}
    closed = sorted(name for name in names if budgets.get(name, 0) is None)
    return "; ".join(f"{name}: {UNREADABLE}" for name in closed)


@dataclass(frozen=True, slots=True)
class _Table:
    """Options of the rows that share GPU types."""

    shard: DraftedShard
    types: tuple[str, ...]
    options: dict[int, MixOptions]

    def claims(self, rows: Sequence[int]) -> list[MixClaim]:
        return [MixClaim(self.options[row], self._use(row), self.held((row,))) for row in rows]

    def _use(self, row: int) -> IntArray:
        """(K, T) GPUs that each option takes."""
        return self.options[row].counts @ self.gpus(row)

    def gpus(self, row: int) -> IntArray:
        """(V, T) GPUs of one replica of each variant, by type."""
        workload = self.shard.request.workloads[row]
        gpus = [(workload.hardware.gpu_type, workload.hardware.gpus_per_replica)]
        if workload.variants is not None:
            gpus = [(v.gpu_type, v.gpus_per_replica) for v in _states(workload)]
        found = [[n * (own == name) for name in self.types] for own, n in gpus]
        return np.array(found, dtype=np.int64)

    def held(self, rows: Sequence[int]) -> IntArray:
        """(T,) GPUs that rows hold."""
        held = np.zeros(len(self.types), dtype=np.int64)
        for row in rows:
            workload = self.shard.request.workloads[row]
            current: tuple[int, ...] = (workload.replicas.spec,)
            if workload.variants is not None:
                current = workload.variants.current
            held += np.array(current, dtype=np.int64) @ self.gpus(row)
        return held


def _states(workload: WorkloadInput) -> tuple[VariantState, ...]:
    return workload.variants.states if workload.variants is not None else ()


def _states_verdict(workload: WorkloadInput) -> MixVerdict | None:
    return None if workload.variants is None else workload.variants.verdict


def _plain(counts: IntArray) -> tuple[int, ...]:
    return tuple(int(n) for n in counts)


def _counts_of(shard: DraftedShard, row: int) -> MixOptions:
    """The counts of a workload without variants as options: losses alone tell them apart."""
    gpu_type = shard.request.workloads[row].hardware.gpu_type
    claims = claims_of(shard, [row], shard.request.gpu_budgets[gpu_type])
    low, wanted = int(claims.low[0]), int(claims.wanted[0])
    counts = np.arange(low, wanted + 1, dtype=np.int64)
    nothing = np.zeros(counts.size)
    loss = claims.loss[0]
    is_all = counts == wanted
    return MixOptions(
        counts[:, None], counts.astype(float), nothing, nothing, nothing, loss - loss.min(),
        is_all, np.ones(counts.size, dtype=bool),
    )  # fmt: skip


def _shared(table: _Table, rows: Sequence[int]) -> dict[int, Grant | MixGrant]:
    """Grants of the rows that share the types: first those that are scaled automatically."""
    workloads, types = table.shard.request.workloads, table.types
    automatic = [row for row in rows if workloads[row].control.is_automatic]
    by_hand = [row for row in rows if not workloads[row].control.is_automatic]
    fixed = table.held(by_hand)
    elsewhere = [
        with_fixed(table.shard.request.elsewhere.get(name), int(n), PRICES.size)
        for name, n in zip(types, fixed, strict=True)
    ]
    budgets = np.array([table.shard.request.gpu_budgets[name] for name in types], dtype=np.int64)
    claims = table.claims(automatic)
    demands, _ = _priced(claims, elsewhere, budgets)
    held = table.held(automatic)
    quotas = [
        quota_of(int(budgets[t]), int(held[t]), demands[t].sum(axis=0), elsewhere[t])
        for t in range(len(types))
    ]
    parts = np.array([quota.gpus for quota in quotas], dtype=np.int64)
    choice = choose_jointly(claims, parts)
    fits = zip(choice.fits, (quota.is_feasible for quota in quotas), strict=True)
    shared = _shared_budgets(budgets, parts, replace(choice, fits=tuple(map(all, fits))))
    found = _grants(table, automatic, choice.chosen, shared, demands)
    used = _used(claims, choice)
    others = np.array([quota.held_elsewhere_gpus for quota in quotas], dtype=np.int64)
    left = np.maximum(budgets - used - others + fixed, 0)
    rest = choose_jointly(table.claims(by_hand), left)
    shared = _shared_budgets(budgets, left, rest)
    return found | _grants(table, by_hand, rest.chosen, shared, None)


def _shared_budgets(budgets: IntArray, parts: IntArray, choice: JointChoice) -> list[SharedBudget]:
    """The T budgets as a choice shared them."""
    return [
        SharedBudget(int(gpus), int(part), float(price), fits)
        for gpus, part, price, fits in zip(budgets, parts, choice.prices, choice.fits, strict=True)
    ]


def _used(claims: Sequence[MixClaim], choice: JointChoice) -> IntArray:
    used = np.zeros(choice.prices.size, dtype=np.int64)
    for claim, at in zip(claims, choice.chosen, strict=True):
        used += claim.use[at]
    return used


def _priced(
    claims: Sequence[MixClaim], elsewhere: Sequence[Elsewhere], budgets: IntArray
) -> tuple[list[IntArray], FloatArray]:
    """Per type (W, Q) GPUs taken at each of its prices, and the price (T,) at which it fits."""
    prices = np.zeros(budgets.size)
    for _ in range(N_ROUNDS):
        before = prices.copy()
        for t in range(budgets.size):
            taken = _demands(claims, prices, t).sum(axis=0)
            taken = taken + elsewhere[t].demand_gpus.sum(axis=0)
            fits = taken <= budgets[t]
            prices[t] = PRICES[int(np.argmax(fits))] if fits.any() else PRICES[-1]
        if np.array_equal(before, prices):
            break
    return [_demands(claims, prices, t) for t in range(budgets.size)], prices


def _demands(claims: Sequence[MixClaim], prices: FloatArray, at: int) -> IntArray:
    rows = [demand_of(claim, prices, at) for claim in claims]
    return np.array(rows, dtype=np.int64).reshape(len(claims), PRICES.size)


def _grants(
    table: _Table,
    rows: Sequence[int],
    chosen: Sequence[int],
    shared: list[SharedBudget],
    demands: list[IntArray] | None,
) -> dict[int, Grant | MixGrant]:
    found: dict[int, Grant | MixGrant] = {}
    for i, row in enumerate(rows):
        options, at = table.options[row], chosen[i]
        taken = {
            name: tuple(int(n) for n in demands[t][i])
            for t, name in enumerate(table.types)
            if demands is not None and table.gpus(row)[:, t].any()
        }
        if table.shard.request.workloads[row].variants is None:
            found[row] = _single(table, row, int(options.counts[at, 0]), shared, taken)
            continue
        verdict = _verdict(table, row, at, shared)
        mix = MixGrant(_plain(options.counts[at]), options.limit, verdict, tuple(taken.items()))
        found[row] = mix
    return found


def _single(
    table: _Table,
    row: int,
    granted: int,
    shared: list[SharedBudget],
    taken: dict[str, tuple[int, ...]],
) -> Grant:
    """A workload without variants that shares a type with mixes."""
    hardware = table.shard.request.workloads[row].hardware
    demand = None
    if hardware.gpu_type in taken:
        demand = np.array(taken[hardware.gpu_type], dtype=np.int64) // hardware.gpus_per_replica
    own = shared[table.types.index(hardware.gpu_type)]
    return grant_of(table.shard, row, granted, own, demand)


def _verdict(table: _Table, row: int, at: int, shared: list[SharedBudget]) -> MixVerdict:
    options = table.options[row]
    own = [t for t in range(len(table.types)) if table.gpus(row)[:, t].any()]
    prices = tuple((table.types[t], round(shared[t].price, 9)) for t in own)
    is_cut = not bool(options.is_enough[at])
    words = []
    for t in own:
        price = shared[t].price
        terms = f" at {price:.2f} USD per GPU-hour" if price > 0 else ""
        if not shared[t].is_feasible:
            terms = ", which the least capacities alone exceed"
        words.append(f"{table.types[t]}: {shared[t]}{terms}")
    unread = _unreadable(table.shard, row)
    words += [unread] if unread else []
    return MixVerdict(_plain(options.counts[at]), prices, is_cut, "; ".join(words), options.limit)


def _total(shard: DraftedShard, row: int, mix: MixGrant) -> Grant:
    """The whole mix in reference replicas."""
    variants = shard.request.workloads[row].variants
    assert variants is not None, "only rows with variants have a mix"
    final = whole(variants.units(mix.counts))
    verdict = mix.verdict
    # of a mix of which less can be lost fewer are as good
    is_enough = not mix.limit and shard.drafts[row].promised_mix is not None
    if verdict is None:
        return Grant(final, is_enough=is_enough)
    price = max((price for _, price in verdict.prices), default=0.0)
    if not verdict.is_cut:
        return Grant(final, price=price, is_enough=is_enough)
    wanted = shard.drafts[row].guarded
    return Grant(final, final, price, f"{verdict.budget}: {final} of {wanted} replicas")
