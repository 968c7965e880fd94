"""Metrics of what is advised."""

from __future__ import annotations

from collections.abc import Mapping

from services.kernel import telemetry
from services.operator.plan.supply import TypeSupply

_GAUGES = (
    telemetry.gpu_headroom_gpus,
    telemetry.gpu_headroom_usd_per_hour,
    telemetry.gpu_headroom_risk_averted_ratio,
)


def publish_headroom(cluster: str, supplies: Mapping[str, TypeSupply]) -> None:
    """Set the gauges of a cluster; a type without advice has no series."""
    for gauge in _GAUGES:
        gauge.clear()
    for name, supply in supplies.items():
        advice = supply.headroom.advice
        if advice is None:
            continue
        values = (advice.gpus, advice.usd_per_hour, advice.risk_averted)
        for gauge, value in zip(_GAUGES, values, strict=True):
            gauge.labels(cluster, name).set(value)
