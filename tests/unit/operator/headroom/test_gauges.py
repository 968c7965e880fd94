"""A series for each type with advice, and none for what is gone."""

from __future__ import annotations

import pytest

from services.kernel.telemetry import REGISTRY
from services.operator.headroom.gauges import publish_headroom
from tests.unit.operator.report.test_headroom import ADVICE, supply


def shown(name: str, gpu_type: str) -> float | None:
    labels = {"cluster": "eu", "gpu_type": gpu_type}
    return REGISTRY.get_sample_value(f"harmony_gpu_headroom_{name}", labels)


def test_a_type_has_its_series_while_something_is_advised() -> None:
    publish_headroom("eu", {"H100": supply(ADVICE), "L4": supply(None)})
    assert shown("gpus", "H100") == 16
    assert shown("usd_per_hour", "H100") == 40.0
    assert shown("risk_averted_ratio", "H100") == pytest.approx(0.2059)
    assert shown("gpus", "L4") is None
    publish_headroom("eu", {})
    assert shown("gpus", "H100") is None
