"""Variants and pools of a written spec arrive with their targets, GPUs and prices."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.resource.parts import hardware, part_targets, to_target
from services.operator.resource.spec import GPUAutoscalerSpec
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import spec
from tests.unit.operator.variants import (
    pool,
    two_pools,
    two_variants,
    two_variants_read,
    variant,
)


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


def test_every_pool_has_its_target_hardware_loads_and_bounds() -> None:
    slow = pool("decode", "output_tokens_per_s", minReplicas=4, maxReplicas=6)
    given = [pool("prefill", "request_rate_rps"), slow | {"leadTime": {"median": "5m"}}]
    autoscaler = to_autoscaler(two_pools(minReplicas=2, pools=given), {})
    assert autoscaler.problem == ""
    assert autoscaler.spec is not None
    assert [t.name for t in autoscaler.targets] == ["llama-prefill", "llama-decode"]
    prefill, decode = autoscaler.spec.pools
    assert (prefill.loads, decode.loads) == (("request_rate_rps",), ("output_tokens_per_s",))
    assert (prefill.min_replicas, prefill.max_replicas) == (2, None), "that of the spec"
    assert (decode.min_replicas, decode.max_replicas) == (4, 6)
    assert prefill.lead_time is None
    assert decode.lead_time is not None
    assert decode.lead_time.median_s == 300.0
    assert autoscaler.spec.target == "Deployment/llama-prefill"


PREFILL, DECODE = pool("prefill", "request_rate_rps"), pool("decode", "output_tokens_per_s")


def test_a_pool_names_what_says_how_full_its_replicas_are() -> None:
    names = ("request_rate_rps", "output_tokens_per_s", "kv_cache_ratio", "gpu_duty_ratio")
    autoscaler = to_autoscaler(
        two_pools(
            indicators=[{"name": name, "level": 2} for name in names],
            pools=[
                PREFILL | {"occupancyIndicator": "gpu_duty_ratio", "occupancyOf": "Time"},
                DECODE | {"occupancyIndicator": "kv_cache_ratio"},
            ],
        ),
        {},
    )
    assert autoscaler.spec is not None, autoscaler.problem
    read = [(pool.occupancy_indicator, pool.occupancy_of) for pool in autoscaler.spec.pools]
    assert read == [("gpu_duty_ratio", "Time"), ("kv_cache_ratio", "Room")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pools": [PREFILL | {"leadTime": {"median": "3h"}}, DECODE]},
            "pools[prefill].leadTime.median='3h' must be at most 2h",
        ),
        ({"variants": [variant("h100")]}, "give either variants or pools, not both"),
        ({"scaleTargetRef": variant("x")["scaleTargetRef"]}, "give either scaleTargetRef or"),
        (
            {"pools": [pool("prefill", "request_rate_rps"), pool("decode", "request_rate_rps")]},
            "load 'request_rate_rps' is in 2 pools, must be in exactly one",
        ),
        (
            {"pools": [PREFILL | {"occupancyIndicator": "latency_ms"}, DECODE]},
            "occupancy_indicator='latency_ms' of pool 'prefill' must be one of the indicators",
        ),
    ],
)
def test_pools_that_cannot_be_are_a_problem_in_words(changes: dict[str, Any], said: str) -> None:
    autoscaler = to_autoscaler(two_pools(**changes), {})
    assert autoscaler.spec is None
    assert said in autoscaler.problem
