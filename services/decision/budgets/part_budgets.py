"""Holdings of workloads with variants or pools under the GPU budgets, one for each type; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
from sqlalchemy import RowMapping

from decider import PRICES, Decision, IntArray
from services.decision.budgets.holdings import Holding, is_granted, presumed
from services.decision.rows.members import ShardMember
from services.decision.rows.prepare import RequestRow
from services.decision.rows.service_decision import ServiceDecision
from services.decision.rows.variants import desired_counts
from services.kernel.domain import stored_targets
from services.kernel.settings import Settings

PartHoldings = dict[tuple[int, str], Holding]
"""Holdings in GPUs by workload id and GPU type."""


def gpu_types_of(member: ShardMember) -> set[str]:
    """GPU types that a workload may run on; none where no budget counts it."""
    if not member.is_budgeted:
        return set()
    types = {part.gpu_type for part in member.spec.parts}
    return types or {member.spec.gpu_type}


def stored_gpu_types(specs: Iterable[str]) -> frozenset[str]:
    """GPU types that workloads may run on by their stored specs; none of one that is spoilt."""
    types: set[str] = set()
    for spec in specs:
        with suppress(ValueError):  # nested deeper than anybody reads
            types |= {target.gpu_type for target in stored_targets(orjson.loads(spec))}
    return frozenset(types)


def part_holdings(
    row: RowMapping, gpu_types: Collection[str], settings: Settings, now: datetime
) -> PartHoldings:
    """Holdings of a workload with variants or pools, of each of `gpu_types` that it may run on.

    As for a workload of one target: its target or, where more, what was granted to it last. A spec
    that somebody spoilt by hand holds what can be read of it, and keeps nobody from a decision.
    """
    parts = stored_targets(row["spec"])
    seen: Mapping[str, Any] | None = row["seen"]
    desired = dict(desired_counts(row["decided"]))
    is_in_force = bool(desired) and row["valid_until"] > now and is_granted(row["mode"])
    found = {}
    for gpu_type in sorted({part.gpu_type for part in parts} & set(gpu_types)):
        held = least = 0
        for part in parts:
            if part.gpu_type != gpu_type:
                continue
            decided = desired.get(part.name)
            if seen is None:
                count = part.min_replicas if decided is None else decided
            else:
                count = int((seen.get(part.name) or {}).get("spec", 0))
                count = max(count, decided) if is_in_force and decided is not None else count
            count = max(count, (row["intended"] or {}).get(part.name, 0))
            held += count * part.gpus_per_replica
            least += part.min_replicas * part.gpus_per_replica
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
    holdings: PartHoldings, made: ServiceDecision, now: datetime
) -> tuple[PartHoldings, list[tuple[Any, ...]]]:
    """Holdings of a workload after its decision, and its rows of `variant_claims`."""
    if not made.counts:
        return {}, []
    member = made.member
    gpus = {part.name: part.gpus_per_replica for part in member.spec.parts}
    found: PartHoldings = {}
    claims: list[tuple[Any, ...]] = []
    demands = _demands(made)
    for gpu_type in sorted(gpu_types_of(member)):
        holding = holdings.get((member.id, gpu_type))
        if holding is None:
            continue
        held = sum(
            gpus[c.name] * max(c.current, c.desired) for c in made.counts if c.gpu_type == gpu_type
        )
        held = held if is_granted(member.spec.mode) else holding.held_replicas
        taken = demands.get(gpu_type)
        demand = None if taken is None else np.array(taken, dtype=np.int64)
        found[member.id, gpu_type] = replace(holding, held_replicas=held, demand=demand)
        if taken is not None:
            claims.append((member.id, gpu_type, list(taken), now))
    return found, claims


def _demands(made: ServiceDecision) -> dict[str, tuple[int, ...]]:
    """GPUs that it would take at each price by type; a type of which one is not known is left out.

    Pools of a type take what each of them takes.
    """
    if made.whole.mix is not None:
        return dict(made.whole.mix.budget_demand)
    found: dict[str, IntArray] = {}
    unknown = set()
    for pool, decision in zip(made.member.spec.pools, made.decisions, strict=True):
        if not decision.budget_demand:
            unknown.add(pool.gpu_type)
            continue
        taken = pool.gpus_per_replica * np.array(decision.budget_demand, dtype=np.int64)
        found[pool.gpu_type] = found.get(pool.gpu_type, 0) + taken
    return {name: tuple(d.tolist()) for name, d in found.items() if name not in unknown}


def binding_type(member: ShardMember, decision: Decision, known: Sequence[str]) -> str:
    """The GPU type whose budget a decision is explained by: the dearest that it may run on."""
    if decision.mix is None:
        return member.spec.gpu_type
    prices = {} if decision.mix.verdict is None else dict(decision.mix.verdict.prices)
    own = [name for name in known if name in gpu_types_of(member)]
    return max(own, key=lambda name: prices.get(name, 0.0), default=member.spec.gpu_type)


def lost_gpus(row: RequestRow, gpu_type: str, lost_replicas: int) -> int:
    """GPUs of a type that capacity of so many reference replicas would have taken."""
    for variant in () if row.given.variants is None else row.given.variants.states:
        if variant.gpu_type == gpu_type:
            return round(lost_replicas / variant.capacity_ratio * variant.gpus_per_replica)
    return lost_replicas * row.member.spec.gpus_per_replica
