"""Autoscalers of two variants, the second worth half a replica, and of two pools."""

from __future__ import annotations

from typing import Any

from services.operator.resource.autoscaler import Autoscaler
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import resource


def variant(name: str, **changes: Any) -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"llama-{name}"}
    return {"name": name, "scaleTargetRef": reference, "gpuType": name.upper()} | changes


def two_variants(**changes: Any) -> dict[str, Any]:
    """The resource, with `h100` and `l4` instead of one target."""
    found = resource(**changes)
    for name in ("scaleTargetRef", "gpuType", "gpusPerReplica"):
        del found["spec"][name]
    cheap = {"capacity": {"perReplica": "6.25"}, "cost": {"perGpuHour": "1"}, "minReplicas": 2}
    found["spec"]["variants"] = [variant("h100"), variant("l4", **cheap)]
    return found


def pool(name: str, *loads: str, **changes: Any) -> dict[str, Any]:
    return variant(name, gpuType="H100", boundBy=list(loads)) | changes


def two_pools(**changes: Any) -> dict[str, Any]:
    """The resource, with `prefill` for requests and `decode` for tokens instead of one target."""
    found = resource(**changes)
    for name in ("scaleTargetRef", "gpuType", "gpusPerReplica"):
        del found["spec"][name]
    tokens = "output_tokens_per_s"
    base = {
        "indicators": [{"name": name, "level": 1} for name in ("request_rate_rps", tokens)],
        "capacity": {
            "perReplica": "12.5", "alsoBoundBy": [{"indicator": tokens, "perReplica": "200"}],
        },
        "pools": [pool("prefill", "request_rate_rps"), pool("decode", tokens, gpusPerReplica=2)],
    }  # fmt: skip
    found["spec"] |= base | changes
    return found


def two_variants_read(**changes: Any) -> Autoscaler:
    autoscaler = to_autoscaler(two_variants(**changes), {})
    assert autoscaler.problem == ""
    return autoscaler
