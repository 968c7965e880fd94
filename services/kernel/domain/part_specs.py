"""Each part of a workload as a workload of its own."""

from __future__ import annotations

import math
from typing import Any

from services.kernel.domain.parts import PartSpec
from services.kernel.domain.pools import PoolSpec
from services.kernel.domain.workload import CapacitySpec, FurtherLoadSpec, WorkloadSpec


def part_specs(spec: WorkloadSpec) -> tuple[WorkloadSpec, ...]:
    """One spec for each part, in order; none where there are no parts."""
    return tuple(part_spec(spec, part) for part in spec.parts)


def part_spec(spec: WorkloadSpec, part: PartSpec) -> WorkloadSpec:
    """A part as a workload: with its target, hardware and bounds, a pool with its own loads."""
    most = part.max_replicas
    if most is None:
        ratio = part.ratio(spec.capacity.per_replica)
        most = max(part.min_replicas, math.ceil(spec.max_replicas / ratio - 1e-9))
    own = {
        "target": part.target,
        "gpu_type": part.gpu_type,
        "gpus_per_replica": part.gpus_per_replica,
        "price_usd_per_gpu_hour": part.price_usd_per_gpu_hour,
        "min_replicas": part.min_replicas,
        "max_replicas": most,
        "variants": (),
        "pools": (),
    }
    more = _of_pool(spec, part) if isinstance(part, PoolSpec) else _of_variant(spec)
    return spec.model_copy(update=own | more)


def _of_variant(spec: WorkloadSpec) -> dict[str, Any]:
    """The bounds of schedules are those of all variants together."""
    unbounded = {"min_replicas": None, "max_replicas": None}
    return {"schedules": tuple(s.model_copy(update=unbounded) for s in spec.schedules)}


def _of_pool(spec: WorkloadSpec, pool: PoolSpec) -> dict[str, Any]:
    """The first of its loads is its demand."""
    demand = FurtherLoadSpec(
        indicator=spec.demand,
        per_replica=spec.capacity.per_replica,
        counts=spec.demand_counts,
    )
    known = {load.indicator: load for load in (demand, *spec.capacity.also_bound_by)}
    first, *others = (known[name] for name in ordered_loads(spec, pool))
    capacity = CapacitySpec(
        per_replica=first.per_replica, cv=spec.capacity.cv, also_bound_by=tuple(others)
    )
    return {
        "demand": first.indicator,
        "demand_counts": first.counts,
        "capacity": capacity,
        "lead_time": pool.lead_time or spec.lead_time,
    }


def ordered_loads(spec: WorkloadSpec, pool: PoolSpec) -> tuple[str, ...]:
    """Names of a pool's loads, in the order of the workload's."""
    return tuple(name for name in spec.loads if name in pool.loads)
