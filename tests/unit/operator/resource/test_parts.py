"""Variants of a written spec arrive with their targets, GPUs and prices."""

from __future__ import annotations

import pytest

from services.operator.resource.parts import hardware, part_targets, to_target
from services.operator.resource.spec import GPUAutoscalerSpec
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import spec
from tests.unit.operator.variants import two_variants, two_variants_read, variant


def test_a_target_defaults_to_the_version_of_deployments() -> None:
    target = to_target("a", {"scaleTargetRef": {"kind": "Deployment", "name": "b"}})
    assert (target.api_version, target.namespace, target.label) == ("apps/v1", "a", "Deployment/b")
    assert to_target("a", {}).label == "/"


def test_every_variant_has_its_target_and_hardware() -> None:
    autoscaler = two_variants_read()
    assert autoscaler.spec is not None
    assert [v.name for v in autoscaler.parts] == ["h100", "l4"]
    assert [t.name for t in autoscaler.targets] == ["llama-h100", "llama-l4"]
    first, second = autoscaler.spec.variants
    assert (first.gpu_type, second.gpu_type) == ("H100", "L4")
    assert (first.capacity_per_replica, second.capacity_per_replica) == (None, 6.25)
    assert (second.price_usd_per_gpu_hour, second.min_replicas) == (1.0, 2)
    assert (autoscaler.spec.target, autoscaler.spec.gpu_type) == ("Deployment/llama-h100", "H100")


def test_one_kind_of_replicas_keeps_its_own_hardware() -> None:
    found = hardware(GPUAutoscalerSpec.model_validate(spec(cost={"perGpuHour": "3"})))
    assert found == {
        "target": "Deployment/llama",
        "gpu_type": "H100",
        "gpus_per_replica": 2,
        "price_usd_per_gpu_hour": 3.0,
    }
    assert part_targets("serving", None, {}) == ()


@pytest.mark.parametrize("kept", ["scaleTargetRef", "neither"])
def test_a_target_or_variants_but_not_both_or_none(kept: str) -> None:
    written = two_variants()
    if kept == "neither":
        del written["spec"]["variants"]
    else:
        written["spec"][kept] = variant("h100")["scaleTargetRef"]
    autoscaler = to_autoscaler(written, {})
    assert autoscaler.spec is None
    assert autoscaler.problem.startswith("give ")
