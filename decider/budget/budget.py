"""From guarded counts to what the GPU budgets leave of them.

A budget holds over the whole fleet, which is decided on in shards. Every workload says what it
would take at each price; where all of that together meets the budget, between two prices, each
shard has its fair part. A shard comes down to its part, rises to it as far as others have come down
already, and takes what is free and nobody's part. Shapes: W workloads, Q prices, N other shards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from decider.budget.below import charge_at, shortage_at
from decider.budget.fleet import PRICES, Claims, allocate, demand_at
from decider.budget.reasons import UNREADABLE, Draft, Grant
from decider.config import REVISION
from decider.errors import require
from decider.fleet_types import Elsewhere
from decider.planning.fallback import Standing
from decider.planning.outlook import Outlook
from decider.tables.candidates import effective_bounds
from decider.types import IntArray, ShardRequest, WorkloadInput

Made = TypeVar("Made")

VIOLATION_WORTH = 100.0
"""Replica-steps that a step out of SLA counts for when a scarce budget is shared."""

MOST_COUNTS = 4_096
"""Counts of one workload above its least that are looked at in any case."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Part of a budget that may be used here.

    Attributes:
        gpus: GPUs.
        fleet_price: Least price of `PRICES`, in USD per GPU-hour, at which the fleet fits.
        held_elsewhere_gpus: GPUs that are held elsewhere.
        is_feasible: The least counts of the fleet fit the budget.
    """

    gpus: int
    fleet_price: float
    held_elsewhere_gpus: int
    is_feasible: bool


@dataclass(frozen=True, slots=True)
class SharedBudget:
    """A budget as it was shared out.

    Attributes:
        gpus: GPUs of the whole fleet.
        part_gpus: GPUs that the workloads decided on now could use.
        price: Shadow price in USD per GPU-hour.
        is_feasible: The least counts fit.
    """

    gpus: int
    part_gpus: int
    price: float
    is_feasible: bool

    def __str__(self) -> str:
        """Its size in words."""
        own = "" if self.part_gpus >= self.gpus else f", {self.part_gpus} of them for these"
        return f"{self.gpus} GPUs{own}"


@dataclass(frozen=True, slots=True)
class DraftedShard:
    """A shard with its outlook, the standing of its workloads and their drafts.

    Attributes:
        kept: What was made by `once`.
        revision: Of the tables and prices (`decider.config`).
    """

    request: ShardRequest
    outlook: Outlook
    standings: list[Standing]
    drafts: list[Draft]
    kept: dict[Hashable, Any] = field(default_factory=dict)
    revision: int = REVISION

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What does not depend on who holds what: made once, however often a shard is granted.

        Args:
            key: Names it, with all that it does depend on.
            make: Makes it.
        """
        if key not in self.kept:
            self.kept[key] = make()
        made: Made = self.kept[key]
        return made


def share_budgets(shard: DraftedShard, skipped: Collection[int] = ()) -> list[Grant]:
    """Cap counts by the GPU budgets of their types.

    The sum over the fleet never exceeds a budget by what is granted here, but for least counts
    (minimum replicas, and what a pause or a freeze holds): they come first. Where they alone exceed
    the budget everyone has the least. A budget that cannot be read allows no increase.

    Args:
        shard: The shard, with budgets and what is held elsewhere.
        skipped: Rows that are shared out elsewhere (`decider.mix.budget`); they stay uncut.

    Returns:
        W grants in the request's order.
    """
    request = shard.request
    grants = [Grant(d.guarded) for d in shard.drafts]
    by_type: dict[str, list[int]] = {}
    for row, w in enumerate(request.workloads):
        if row in skipped:
            continue
        if w.verdict is not None:
            given = w.verdict
            price = given.shadow_price_usd_per_gpu_hour
            grants[row] = Grant(given.cap, given.cap, price, given.detail)
        elif w.hardware.gpu_type in request.gpu_budgets:
            by_type.setdefault(w.hardware.gpu_type, []).append(row)
    for gpu_type, rows in by_type.items():
        for row, grant in _share_type(shard, gpu_type, rows).items():
            grants[row] = grant
    return grants


def quota_of(budget: int, held: int, demand: IntArray, elsewhere: Elsewhere) -> Quota:
    """Find the part of a budget that the workloads decided on now may use together.

    The fair parts at the fleet's price fit the budget together, so coming down to them, each in
    its turn, keeps it; and nobody rises beyond what all others hold at the time.

    Args:
        budget: GPUs of the whole fleet.
        held: GPUs that the workloads decided on now hold.
        demand: (Q,) GPUs that they would take at `PRICES`.
        elsewhere: The others.
    """
    require(
        demand.shape == elsewhere.demand_gpus.shape[1:] == PRICES.shape,
        f"demand {demand.shape}, elsewhere {elsewhere.demand_gpus.shape}: Q={PRICES.size} prices",
    )
    parts = np.concatenate([demand[None], elsewhere.demand_gpus])
    fits = parts.sum(axis=0) <= budget
    at = int(np.argmax(fits)) if fits.any() else PRICES.size - 1
    fair = _fair_parts(parts, at, budget)
    held_elsewhere = int(elsewhere.held_gpus.sum())
    free = budget - held_elsewhere
    spare = budget - int(np.maximum(elsewhere.held_gpus, fair[1:]).sum())
    gpus = max(min(int(fair[0]), max(held, free)), spare, 0)
    return Quota(gpus, float(PRICES[at]), held_elsewhere, bool(fits.any()))


def _fair_parts(parts: IntArray, at: int, budget: int) -> IntArray:
    """(N,) GPUs of each part: what it takes at price `at`, and its share of what that leaves.

    A little less than price `at` all would take more than there is; what is left over is shared in
    proportion to how much more, as the linear relaxation does.
    """
    taken = parts[:, at]
    if at == 0:
        return taken
    more = parts[:, at - 1] - taken
    left = max(0, budget - int(taken.sum()))
    return np.asarray(taken + more * left // max(1, int(more.sum())), dtype=np.int64)


def _share_type(shard: DraftedShard, gpu_type: str, rows: list[int]) -> dict[int, Grant]:
    """Grants of the workloads of one type."""
    workloads = shard.request.workloads
    budget = shard.request.gpu_budgets[gpu_type]
    if budget is None:
        return {row: unreadable_grant(workloads[row], shard.drafts[row]) for row in rows}
    automatic = [row for row in rows if workloads[row].control.is_automatic]
    by_hand = [row for row in rows if not workloads[row].control.is_automatic]
    key = (gpu_type, budget, tuple(automatic))
    claims = shard.once(("claims", *key), lambda: claims_of(shard, automatic, budget))
    taken = shard.once(("taken", *key), lambda: demand_at(claims, PRICES))
    elsewhere = with_fixed(
        shard.request.elsewhere.get(gpu_type), _held_gpus(workloads, by_hand), PRICES.size
    )
    demand = (taken * claims.gpus[:, None]).sum(axis=0)
    quota = quota_of(budget, _held_gpus(workloads, automatic), demand, elsewhere)
    allocation = allocate(claims, quota.gpus)
    is_feasible = allocation.is_feasible and quota.is_feasible
    shared = SharedBudget(budget, quota.gpus, allocation.shadow_price, is_feasible)
    used = int((allocation.granted * claims.gpus).sum())
    grants = {
        row: grant_of(shard, row, int(allocation.granted[i]), shared, taken[i])
        for i, row in enumerate(automatic)
    }
    left = budget - used - quota.held_elsewhere_gpus + _held_gpus(workloads, by_hand)
    rest = allocate(claims_of(shard, by_hand, budget), max(0, left))
    shared = SharedBudget(budget, max(0, left), rest.shadow_price, rest.is_feasible)
    for i, row in enumerate(by_hand):
        grants[row] = grant_of(shard, row, int(rest.granted[i]), shared, None)
    return grants


def _held_gpus(workloads: Sequence[WorkloadInput], rows: list[int]) -> int:
    return sum(workloads[r].replicas.spec * workloads[r].hardware.gpus_per_replica for r in rows)


def with_fixed(elsewhere: Elsewhere | None, held: int, n_prices: int) -> Elsewhere:
    """Others and what is held by hand here, as a part that stays whatever the price."""
    others = elsewhere or Elsewhere(np.zeros(0, np.int64), np.zeros((0, n_prices), np.int64))
    return Elsewhere(
        np.append(others.held_gpus, held),
        np.concatenate([others.demand_gpus, np.full((1, n_prices), held)]),
    )


def unreadable_grant(workload: WorkloadInput, draft: Draft) -> Grant:
    """No increase under a budget that cannot be read."""
    current = workload.replicas.spec
    if draft.guarded <= current:
        return Grant(draft.guarded)
    return Grant(current, current, 0.0, UNREADABLE)


def grant_of(
    shard: DraftedShard, row: int, granted: int, shared: SharedBudget, taken: IntArray | None
) -> Grant:
    """One workload's grant, in words where it was cut.

    Args:
        shard: The shard.
        row: The workload.
        granted: Its count.
        shared: The budget that the count was taken from.
        taken: (Q,) counts that it would take at `PRICES`; None: its demand is not for others.
    """
    wanted = shard.drafts[row].guarded
    demand = () if taken is None else tuple(int(n) for n in taken)
    if granted == wanted:
        return Grant(granted, demand=demand)
    lost = f"{granted} of {wanted} replicas, {_risk_change(shard, row, wanted, granted)}"
    if not shared.is_feasible:
        detail = f"minimum replicas alone exceed {shared}: {lost}"
        return Grant(granted, granted, 0.0, detail, demand)
    price = shared.price
    detail = f"{shared}, are shared at {price:.2f} USD per GPU-hour: {lost}"
    return Grant(granted, granted, price, detail, demand)


def _risk_change(shard: DraftedShard, row: int, wanted: int, granted: int) -> str:
    """Risk that a cut adds, in words."""
    if shard.standings[row].replicas is not None:
        return "its risk is unknown without a forecast"
    after, before = np.minimum(charge_at(shard.outlook, row, np.array([granted, wanted])), 1.0)
    return f"estimated risk {after:.2%} instead of {before:.2%}"


def claims_of(shard: DraftedShard, rows: list[int], budget_gpus: int | None = None) -> Claims:
    """Losses by count of the workloads that share a type.

    Args:
        shard: The shard.
        rows: The workloads.
        budget_gpus: GPUs of the whole budget. Of a workload that asks for thousands of replicas
            more than it can ever grant, those are not looked at.
    """
    outlook, workloads = shard.outlook, shard.request.workloads
    low = [least_of(workloads[row], shard.drafts[row]) for row in rows]
    wanted = [shard.drafts[row].guarded for row in rows]
    if budget_gpus is not None:
        gpus = [workloads[row].hardware.gpus_per_replica for row in rows]
        most = [
            max(budget_gpus // n, least + MOST_COUNTS) for n, least in zip(gpus, low, strict=True)
        ]
        wanted = [min(want, bound) for want, bound in zip(wanted, most, strict=True)]
    losses = []
    for i, row in enumerate(rows):
        counts = np.arange(low[i], wanted[i] + 1)
        w = workloads[row]
        if shard.standings[row].replicas is not None:
            lost = np.maximum(wanted[i] - counts, 0) / max(wanted[i], 1)
            values = VIOLATION_WORTH * lost
        else:
            risk = charge_at(outlook, row, counts)
            worth = outlook.program.worth
            if worth is not None:
                risk = worth[row] * risk
            short = shortage_at(outlook, row, counts)
            values = VIOLATION_WORTH * risk + outlook.program.shortage_price * short
        usd = w.hardware.usd_per_hour(1.0) or 1.0
        # What runs is worth a stop and a start: equals would change places with every forecast.
        moved = outlook.program.start_cost + outlook.program.stop_cost
        kept = moved * np.minimum(counts, w.replicas.spec)
        losses.append(np.minimum.accumulate(usd * (w.sla.class_weight * values - kept)))
    gpus = [workloads[row].hardware.gpus_per_replica for row in rows]
    return Claims(
        tuple(losses),
        np.array(low, dtype=np.int64),
        np.array(wanted, dtype=np.int64),
        np.array(gpus, dtype=np.int64),
    )


def least_of(workload: WorkloadInput, draft: Draft) -> int:
    """Least count that a budget may cut a workload to: what people hold outranks it."""
    if not workload.has_replica_state:
        return draft.guarded
    control, limits = workload.control, workload.limits
    is_held = (
        any(s.guard == "paused" and s.detail for s in draft.trace)
        or control.freeze is not None
        or control.scale_out_only
        or not control.is_automatic
        or limits.scale_down.select_policy == "Disabled"
    )
    low = effective_bounds(workload)[0]
    return min(draft.guarded, max(low, workload.replicas.spec) if is_held else low)
