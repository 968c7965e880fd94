"""Variants, pools and targets of a written spec -> those of a `WorkloadSpec`, pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.kernel.domain import LeadTimeSpec, PartSpec, PoolSpec, VariantSpec, WorkloadSpec
from services.kernel.domain.lead_time import MOST_MEDIAN_S
from services.operator.resource import spec as schemas
from services.operator.resource.autoscaler import PartTarget, ScaleTarget
from services.operator.resource.quantities import format_duration


def to_target(namespace: str, written: Mapping[str, Any]) -> ScaleTarget:
    """The target of something that has a `scaleTargetRef`, as far as it can be read."""
    reference = written.get("scaleTargetRef") or {}
    return ScaleTarget(
        str(reference.get("apiVersion", "apps/v1")),
        str(reference.get("kind", "")),
        namespace,
        str(reference.get("name", "")),
    )


def part_targets(
    namespace: str, spec: WorkloadSpec | None, written: Mapping[str, Any]
) -> tuple[PartTarget, ...]:
    """Targets of the variants or pools of a spec; none where it cannot be used or has none."""
    if spec is None or not spec.parts:
        return ()
    raw_parts = written["variants" if spec.variants else "pools"]
    return tuple(
        PartTarget(part.name, to_target(namespace, raw), part)
        for part, raw in zip(spec.parts, raw_parts, strict=True)
    )


def written_targets(namespace: str, written: Mapping[str, Any]) -> tuple[ScaleTarget, ...]:
    """Targets that the variants and pools of a spec name, as far as they can be read."""
    found = []
    for name in ("variants", "pools"):
        parts = written.get(name)
        for part in parts if isinstance(parts, list) else ():
            reference = part.get("scaleTargetRef") if isinstance(part, dict) else None
            if isinstance(reference, dict):
                found.append(to_target(namespace, part))
    return tuple(found)


def hardware(written: schemas.GPUAutoscalerSpec) -> dict[str, Any]:
    """Target, GPUs, price, variants and pools of a `WorkloadSpec`; the first part's stand first.

    Raises:
        ValueError: None or several of a target, variants and pools are given.
    """
    reference = written.scale_target_ref
    if written.variants is not None and written.pools is not None:
        raise ValueError("give either variants or pools, not both")
    if (written.variants or written.pools) and reference is not None:
        raise ValueError(
            "give either scaleTargetRef or variants or pools, each of which has its own"
        )
    if written.variants is not None:
        variants = [_variant(variant) for variant in written.variants]
        return _of_first(variants) | {"variants": tuple(variants)}
    if written.pools is not None:
        pools = [_pool(pool, written.min_replicas) for pool in written.pools]
        return _of_first(pools) | {"pools": tuple(pools)}
    if reference is None or written.gpu_type is None:
        raise ValueError("give scaleTargetRef and gpuType, or variants, or pools")
    return _hardware(written, reference, written.gpu_type)


def _of_first(parts: Sequence[PartSpec]) -> dict[str, Any]:
    names = {"target", "gpu_type", "gpus_per_replica", "price_usd_per_gpu_hour"}
    return parts[0].model_dump(include=names)


def _hardware(
    written: schemas.GPUAutoscalerSpec | schemas.GPUPart,
    reference: schemas.ScaleTargetRef,
    gpu_type: str,
) -> dict[str, Any]:
    """Target, GPUs and, where one is written, price."""
    found: dict[str, Any] = {
        "target": f"{reference.kind}/{reference.name}",
        "gpu_type": gpu_type,
        "gpus_per_replica": written.gpus_per_replica,
    }
    if written.cost is not None:
        found["price_usd_per_gpu_hour"] = written.cost.per_gpu_hour
    return found


def _variant(written: schemas.GPUVariant) -> VariantSpec:
    return VariantSpec(
        name=written.name,
        capacity_per_replica=None if written.capacity is None else written.capacity.per_replica,
        min_replicas=written.min_replicas,
        max_replicas=written.max_replicas,
        **_hardware(written, written.scale_target_ref, written.gpu_type),
    )


def _pool(written: schemas.GPUPool, least: int) -> PoolSpec:
    """A pool; without a minimum of its own it has `least`, that of the spec."""
    lead_time, place = written.lead_time, f"pools[{written.name}]."
    return PoolSpec(
        name=written.name,
        loads=written.bound_by,
        min_replicas=least if written.min_replicas is None else written.min_replicas,
        max_replicas=written.max_replicas,
        lead_time=None if lead_time is None else to_lead_time(lead_time, place),
        occupancy_indicator=written.occupancy_indicator or "",
        occupancy_of=written.occupancy_of or "Room",
        **_hardware(written, written.scale_target_ref, written.gpu_type),
    )


def to_lead_time(written: schemas.LeadTime, place: str = "") -> LeadTimeSpec:
    """The lead time as written, the rest by default.

    Args:
        written: As it is written.
        place: Where in the spec it is; empty: it is the spec's own.

    Raises:
        ValueError: It is too long.
    """
    if written.median_s is not None and written.median_s > MOST_MEDIAN_S:
        raise ValueError(
            f"{place}leadTime.median={format_duration(written.median_s)!r} must be at most "
            f"{format_duration(MOST_MEDIAN_S)}"
        )
    values = {"median_s": written.median_s, "sigma": written.sigma}
    return LeadTimeSpec(**{name: v for name, v in values.items() if v is not None})
