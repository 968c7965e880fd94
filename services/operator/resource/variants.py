"""Variants and targets of a written spec -> those of a `WorkloadSpec`, pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.kernel.domain import VariantSpec, WorkloadSpec
from services.operator.resource import spec as schemas
from services.operator.resource.autoscaler import ScaleTarget, VariantTarget


def to_target(namespace: str, written: Mapping[str, Any]) -> ScaleTarget:
    """The target of something that has a `scaleTargetRef`, as far as it can be read."""
    reference = written.get("scaleTargetRef") or {}
    return ScaleTarget(
        str(reference.get("apiVersion", "apps/v1")),
        str(reference.get("kind", "")),
        namespace,
        str(reference.get("name", "")),
    )


def variant_targets(
    namespace: str, spec: WorkloadSpec | None, written: Mapping[str, Any]
) -> tuple[VariantTarget, ...]:
    """Targets of the variants of a spec; none where it cannot be used or has no variants."""
    if spec is None or not spec.variants:
        return ()
    return tuple(
        VariantTarget(variant.name, to_target(namespace, raw), variant)
        for variant, raw in zip(spec.variants, written["variants"], strict=True)
    )


def hardware(written: schemas.GPUAutoscalerSpec) -> dict[str, Any]:
    """Target, GPUs, price and variants of a `WorkloadSpec`; those of the first variant stand first.

    Raises:
        ValueError: Neither a target nor variants are given, or both.
    """
    if written.variants is not None:
        if written.scale_target_ref is not None:
            raise ValueError("give either scaleTargetRef or variants, each of which has its own")
        variants = tuple(_variant(variant) for variant in written.variants)
        first = variants[0]
        return {
            "target": first.target,
            "gpu_type": first.gpu_type,
            "gpus_per_replica": first.gpus_per_replica,
            "price_usd_per_gpu_hour": first.price_usd_per_gpu_hour,
            "variants": variants,
        }
    reference = written.scale_target_ref
    if reference is None or written.gpu_type is None:
        raise ValueError("give scaleTargetRef and gpuType, or variants")
    found: dict[str, Any] = {
        "target": f"{reference.kind}/{reference.name}",
        "gpu_type": written.gpu_type,
        "gpus_per_replica": written.gpus_per_replica,
    }
    if written.cost is not None:
        found["price_usd_per_gpu_hour"] = written.cost.per_gpu_hour
    return found


def _variant(written: schemas.GPUVariant) -> VariantSpec:
    reference = written.scale_target_ref
    optional: dict[str, Any] = {}
    if written.cost is not None:
        optional["price_usd_per_gpu_hour"] = written.cost.per_gpu_hour
    return VariantSpec(
        name=written.name,
        target=f"{reference.kind}/{reference.name}",
        gpu_type=written.gpu_type,
        gpus_per_replica=written.gpus_per_replica,
        capacity_per_replica=None if written.capacity is None else written.capacity.per_replica,
        min_replicas=written.min_replicas,
        max_replicas=written.max_replicas,
        **optional,
    )
