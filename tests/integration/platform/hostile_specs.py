"""Specs and values at the edges of what admission lets in, as hypothesis draws them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from services.ingest.series.samples import LARGEST_VALUE
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.parts import MOST_REPLICAS
from services.operator.resource.translate import to_autoscaler

RATE, TOKENS, HEAT = "request_rate_rps", "output_tokens_per_s", "gpu_temperature_c"
DEMAND_KINDS = st.sampled_from(["gauge", "counter"])
SMALL_AND_LARGE = ("0.00000001", "1", "2400.5", "9" * 15, "0." + "0" * 20 + "1", "9" * 31)
DECIMALS = st.sampled_from(SMALL_AND_LARGE)
SHARES = st.sampled_from(["0.01", "0.0000000001", "0.9999999999", "0.5"])
DURATIONS = st.sampled_from(["1ms", "90s", "28d", "3650d", "999999999d", "9" * 20 + "d"])
REPLICAS = st.sampled_from([1, 2, 40, MOST_REPLICAS - 1, MOST_REPLICAS])
PERIODS = st.sampled_from([1, 60, 1800])

VALUES = (
    st.sampled_from([0.0, -0.0, 5e-324, 1e-45, 100.0, 99_999.0, LARGEST_VALUE, 3.5e38, -1.0])
    | st.floats()
    | st.floats(0, 1e5)
)


def _behavior() -> st.SearchStrategy[dict[str, Any]]:
    policy = st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Pods", "Percent"]),
            "value": st.sampled_from([1, 100, 1_000_000]),
            "periodSeconds": PERIODS,
        }
    )
    rules = st.fixed_dictionaries(
        {},
        optional={
            "policies": st.lists(policy, max_size=2),
            "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
            "stabilizationWindowSeconds": st.sampled_from([0, 3600]),
            "tolerance": st.sampled_from(["0", "0.1", "1"]),
        },
    )
    return st.fixed_dictionaries({}, optional={"scaleUp": rules, "scaleDown": rules})


@st.composite
def _capacity(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"perReplica": draw(DECIMALS)}
    if draw(st.booleans()):
        found["cv"] = draw(st.sampled_from(["0", "0.1", "1"]))
    if draw(st.booleans()):
        found["alsoBoundBy"] = [{"indicator": TOKENS, "perReplica": draw(DECIMALS)}]
    return found


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Specs of GPUAutoscalers, most of which admission lets in."""
    most = draw(REPLICAS)
    optional = {
        "behavior": _behavior(),
        "cost": st.fixed_dictionaries({"perGpuHour": DECIMALS}),
        "fallback": st.fixed_dictionaries({"staticReplicas": st.integers(0, most)}),
        "leadTime": st.fixed_dictionaries(
            {"median": DURATIONS, "sigma": st.sampled_from(["0", "0.5", "3"])}
        ),
    }
    own = draw(st.fixed_dictionaries({}, optional=optional))
    kind = draw(st.sampled_from(["TimeFraction", "DemandFraction", "AnyInWindow"]))
    risk = {"epsilon": draw(SHARES), "kind": kind, "window": draw(DURATIONS)}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "strange"}
    hardware: dict[str, Any] = {"scaleTargetRef": target, "gpuType": "H100"}
    if draw(st.booleans()):
        hardware = {"variants": [_variant(draw, name) for name in ("h", "l")]}
    indicators = [
        {"name": RATE, "level": 1, "kind": draw(DEMAND_KINDS)},
        {"name": TOKENS, "level": 1, "kind": draw(DEMAND_KINDS)},
        {"name": HEAT, "level": 3, "unit": "celsius"},
    ]
    return {
        **hardware,
        "mode": "Auto",
        "minReplicas": draw(st.integers(0, most)),
        "maxReplicas": most,
        "sla": {"risk": risk},
        "demand": RATE,
        "indicators": indicators,
        "capacity": draw(_capacity()),
        **own,
    }


def _variant(draw: st.DrawFn, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "gpuType": name.upper(),
        "gpusPerReplica": draw(st.sampled_from([1, 64])),
        "capacity": {"perReplica": draw(DECIMALS)},
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
    }


def to_workload(written: dict[str, Any]) -> WorkloadSpec | None:
    """What is stored of a spec; None: admission, or the operator, refuses it."""
    metadata = {
        "namespace": "shop",
        "name": "strange",
        "creationTimestamp": "2026-01-05T00:00:00Z",
    }
    return to_autoscaler({"metadata": metadata, "spec": written}, {}).spec
