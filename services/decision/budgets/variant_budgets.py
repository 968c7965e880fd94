"""Holdings of workloads with variants under the GPU budgets, one for each type; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import PRICES, Decision, IntArray
from services.decision.budgets.holdings import Holding, presumed
from services.decision.rows.inputs import ShardMember
from services.decision.rows.variants import desired_counts
from services.kernel.domain import VariantSpec
from services.kernel.settings import Settings

VariantHoldings = dict[tuple[int, str], Holding]
"""Holdings in GPUs by workload id and GPU type."""


def gpu_types_of(member: ShardMember) -> set[str]:
    """GPU types that a workload may run on."""
    types = {variant.gpu_type for variant in member.spec.variants}
    return types or {member.spec.gpu_type}


def variant_holdings(
    row: RowMapping, gpu_types: Collection[str], settings: Settings, now: datetime
) -> VariantHoldings:
    """Holdings of a workload with variants, of each of `gpu_types` that it may run on.

    As for a workload without variants: its target or, where more, what was granted to it last.
    """
    variants = [VariantSpec.model_validate(variant) for variant in row["spec_variants"]]
    seen: Mapping[str, Any] | None = row["seen"]
    desired = dict(desired_counts(row["decided"]))
    is_in_force = bool(desired) and row["valid_until"] > now and row["mode"] != "Advisory"
    found = {}
    for gpu_type in sorted({v.gpu_type for v in variants} & set(gpu_types)):
        held = least = 0
        for variant in variants:
            if variant.gpu_type != gpu_type:
                continue
            decided = desired.get(variant.name)
            if seen is None:
                count = variant.min_replicas if decided is None else decided
            else:
                count = int((seen.get(variant.name) or {}).get("spec", 0))
                count = max(count, decided) if is_in_force and decided is not None else count
            held += count * variant.gpus_per_replica
            least += variant.min_replicas * variant.gpus_per_replica
        demand = _demand(row, gpu_type, held, least, settings, now)
        found[int(row["id"]), gpu_type] = Holding(int(row["shard"]), gpu_type, 1, held, demand)
    return found


def _demand(
    row: RowMapping, gpu_type: str, held: int, least: int, settings: Settings, now: datetime
) -> IntArray | None:
    """GPUs that it would take at each price; None: it stays as it is."""
    claim = (row["claims"] or {}).get(gpu_type)
    if row["mode"] != "Auto":
        return None
    if claim is None:
        return presumed(held, min(held, least))
    oldest = now - timedelta(seconds=int(row["step_s"])) * settings.stale_after_steps
    demand = np.array(claim["demand_gpus"], dtype=np.int64)
    is_usable = float(claim["claimed_s"]) >= oldest.timestamp() and demand.size == PRICES.size
    return demand if is_usable else None


def granted_holdings(
    holdings: VariantHoldings,
    member: ShardMember,
    decision: Decision,
    now: datetime,
) -> tuple[VariantHoldings, list[tuple[Any, ...]]]:
    """Holdings of a workload after its decision, and its rows of `variant_claims`."""
    if decision.mix is None:
        return {}, []
    is_applied = member.spec.mode != "Advisory"
    gpus = {variant.name: variant.gpus_per_replica for variant in member.spec.variants}
    found: VariantHoldings = {}
    claims: list[tuple[Any, ...]] = []
    demands = dict(decision.mix.budget_demand)
    for gpu_type in sorted(gpu_types_of(member)):
        holding = holdings.get((member.id, gpu_type))
        if holding is None:
            continue
        held = sum(
            gpus[c.name] * (max(c.current, c.desired) if is_applied else c.current)
            for c in decision.mix.counts
            if c.gpu_type == gpu_type
        )
        taken = demands.get(gpu_type)
        demand = None if taken is None else np.array(taken, dtype=np.int64)
        found[member.id, gpu_type] = replace(holding, held_replicas=held, demand=demand)
        if taken is not None:
            claims.append((member.id, gpu_type, list(taken), now))
    return found, claims


def binding_type(member: ShardMember, decision: Decision, known: Sequence[str]) -> str:
    """The GPU type whose budget a decision is explained by: the dearest that it may run on."""
    if decision.mix is None:
        return member.spec.gpu_type
    prices = {} if decision.mix.verdict is None else dict(decision.mix.verdict.prices)
    own = [name for name in known if name in gpu_types_of(member)]
    return max(own, key=lambda name: prices.get(name, 0.0), default=member.spec.gpu_type)


def lost_gpus(member: ShardMember, gpu_type: str, lost_replicas: int) -> int:
    """GPUs of a type that capacity of so many reference replicas would have taken."""
    for variant in member.spec.variants:
        if variant.gpu_type == gpu_type:
            ratio = variant.ratio(member.spec.capacity.per_replica)
            return round(lost_replicas / ratio * variant.gpus_per_replica)
    return lost_replicas * member.spec.gpus_per_replica
