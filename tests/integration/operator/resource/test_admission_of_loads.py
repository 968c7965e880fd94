"""Further loads of an autoscaler: wrong ones are refused, with the field and the rule."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.kernel.domain.presets import PRESETS
from tests.integration.operator.resource.admission_cases import (
    AHEAD,
    DEMAND,
    LATENCY,
    assert_refused,
    assert_understood,
    post,
)

pytestmark = pytest.mark.integration

OFFERED = [name for name in PRESETS["vllm"].loads if name.startswith("offered_")]


def further(indicator: str, **changes: Any) -> dict[str, Any]:
    return {"indicator": indicator, "perReplica": "2400"} | changes


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"capacity.alsoBoundBy": []}, "spec.capacity.alsoBoundBy", "at least 1"),
    ({"capacity.alsoBoundBy": [further("latency_ms")]}, "spec", "the name of one of the indica"),
    (
        {"capacity.alsoBoundBy": [further("request_rate_rps")]},
        "spec",
        "another one than the demand",
    ),
    (
        {"indicatorsFrom": ["vllm"], "capacity.alsoBoundBy": [further("gpu_power_w")]},
        "spec",
        "or of one of a preset's",
    ),
    (
        {"indicators": [DEMAND, AHEAD], "capacity.alsoBoundBy": [further(AHEAD["name"])]},
        "spec",
        "and not known ahead",
    ),
    (
        {
            "indicators": [DEMAND, LATENCY],
            "capacity.latencyIndicator": "latency_ms",
            "capacity.sloLatency": "500ms",
            "capacity.alsoBoundBy": [further("latency_ms")],
        },
        "spec",
        "than the latencyIndicator",
    ),
    (
        {
            "indicatorsFrom": ["vllm"],
            "capacity.alsoBoundBy": [further("offered_kv_tokens", perReplica="0")],
        },
        "spec.capacity.alsoBoundBy[0]",
        "perReplica must be greater than 0",
    ),
    (
        {"indicatorsFrom": ["vllm"], "capacity.alsoBoundBy": [further("offered_kv_tokens")] * 2},
        "spec.capacity.alsoBoundBy",
        "Duplicate",
    ),
    (
        {
            "indicatorsFrom": ["vllm"],
            "capacity.alsoBoundBy": [further(name) for name in OFFERED],
        },
        "spec.capacity.alsoBoundBy",
        "at most 3",
    ),
    (
        {
            "indicatorsFrom": ["vllm"],
            "capacity.alsoBoundBy": [further("offered_kv_tokens", counts="Both")],
        },
        "spec.capacity.alsoBoundBy[0].counts",
        "Unsupported value",
    ),
]


@pytest.mark.parametrize(("changes", "field", "words"), BAD, ids=lambda v: str(v)[:60])
def test_wrong_loads_are_refused(
    api: httpx.Client, changes: dict[str, Any], field: str, words: str
) -> None:
    assert_refused(post(api, changes), field, words)


GOOD: list[dict[str, Any]] = [
    {
        "indicatorsFrom": ["vllm"],
        "capacity.alsoBoundBy": [further(name) for name in OFFERED[:3]],
    },
    {
        "indicators": [DEMAND, LATENCY | {"name": "kv_tokens", "unit": "tokens"}],
        "capacity.alsoBoundBy": [further("kv_tokens", perReplica=90000, counts="Served")],
    },
]


@pytest.mark.parametrize("changes", GOOD, ids=lambda v: str(v)[:60])
def test_right_loads_are_understood(api: httpx.Client, changes: dict[str, Any]) -> None:
    assert_understood(post(api, changes))
