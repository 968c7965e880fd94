"""Pools of a workload: what is refused, and each as a workload of its own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.kernel.domain import WorkloadSpec

RATE, TOKENS, CACHE = "request_rate_rps", "output_tokens_per_s", "kv_tokens"


def pool(name: str, *loads: str, **changes: Any) -> dict[str, Any]:
    given = {"name": name, "target": f"Deployment/{name}", "gpu_type": "H100", "loads": loads}
    return given | changes


PREFILL, DECODE = pool("prefill", RATE), pool("decode", CACHE, TOKENS)


def workload(*pools: dict[str, Any], **changes: Any) -> WorkloadSpec:
    names = (RATE, TOKENS, CACHE, "latency_ms")
    base: dict[str, Any] = {
        "target": "Deployment/prefill",
        "demand": RATE,
        "indicators": [{"name": name, "level": 1} for name in names],
        "capacity": {
            "per_replica": 10.0,
            "also_bound_by": [
                {"indicator": TOKENS, "per_replica": 200.0},
                {"indicator": CACHE, "per_replica": 9000.0},
            ],
        },
        "pools": list(pools),
    }
    return WorkloadSpec.model_validate(base | changes)


def test_pools_are_kept_as_they_are_given() -> None:
    spec = workload(PREFILL, DECODE)
    assert [part.name for part in spec.parts] == ["prefill", "decode"]
    assert [spec.pool_of(load) for load in spec.loads] == ["prefill", "decode", "decode"]
    assert WorkloadSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert [pool.occupancy_indicator for pool in spec.pools] == ["", ""], "not measured"
    assert workload().parts == ()
    assert workload().pool_of(RATE) == ""


VARIANT = {"name": "a", "target": "Deployment/a", "gpu_type": "H100"}


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        ([pool("all", RATE, TOKENS, CACHE)], "1 given, must be 2 to 4"),
        ([PREFILL, pool("prefill", TOKENS, CACHE)], "each name must be given once"),
        ([PREFILL, DECODE | {"target": "Deployment/prefill"}], "each target must be given once"),
        ([PREFILL, pool("decode", TOKENS)], f"load '{CACHE}' is in 0 pools"),
        ([PREFILL, pool("decode", TOKENS, CACHE, RATE)], f"load '{RATE}' is in 2 pools"),
        ([PREFILL, pool("decode", TOKENS, CACHE, "latency_ms")], "'latency_ms' of pool 'decode'"),
        ([PREFILL, pool("decode")], "at least 1"),
        ([PREFILL | {"min_replicas": 3, "max_replicas": 2}, DECODE], "min_replicas=3 of pool"),
    ],
)
def test_what_cannot_be_is_refused(pools: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        workload(*pools)


def test_pools_go_with_neither_variants_nor_a_latency() -> None:
    with pytest.raises(ValidationError, match="either variants or pools"):
        workload(PREFILL, DECODE, variants=[VARIANT])
    capacity = workload().capacity.model_dump() | {
        "latency_indicator": "latency_ms",
        "slo_latency_ms": 100.0,
    }
    with pytest.raises(ValidationError, match="must be left out with pools"):
        workload(PREFILL, DECODE, capacity=capacity)


FULL = {"name": "kv_cache_ratio", "level": 2, "unit": "ratio"}


def measured(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """The indicators of the workload, and some more."""
    return [indicator.model_dump() for indicator in workload().indicators] + list(more)


@pytest.mark.parametrize("unit", ["ratio", ""])
@pytest.mark.parametrize("objective", [None, {"goals": [{"metric": "ttft", "threshold_s": 0.5}]}])
def test_a_pool_may_say_how_full_its_replicas_are(unit: str, objective: Any) -> None:
    """Without an objective, which alone makes it matter, it is allowed all the same."""
    full = DECODE | {"occupancy_indicator": "kv_cache_ratio"}
    indicators = measured(FULL | {"unit": unit})
    spec = workload(PREFILL, full, indicators=indicators, sla={"objective": objective})
    assert [pool.occupancy_indicator for pool in spec.pools] == ["", "kv_cache_ratio"]
    assert [pool.occupancy_of for pool in spec.pools] == ["Room", "Room"]
    assert WorkloadSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_it_may_be_time_that_is_taken() -> None:
    by_time = {"occupancy_indicator": "kv_cache_ratio", "occupancy_of": "Time"}
    spec = workload(PREFILL | by_time, DECODE, indicators=measured(FULL))
    assert [pool.occupancy_of for pool in spec.pools] == ["Time", "Room"]
    assert WorkloadSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"occupancy_of": "Time"}, "occupancy_of='Time' of pool 'decode' must be left out without"),
        ({"occupancy_of": "time"}, "'Room' or 'Time'"),
    ],
)
def test_what_is_taken_is_of_an_indicator(changes: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        workload(PREFILL, DECODE | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "counter"}, "must be a gauge that is measured, not known ahead"),
        ({"is_known_ahead": True}, "must be a gauge that is measured, not known ahead"),
        ({"gap": "Zero", "query": "avg(avg_over_time(x[$step]))"}, "must have gap='Unknown'"),
        ({"unit": "percent"}, "has unit 'percent', must be 'ratio', from 0 to 1"),
        ({"name": "other_ratio"}, "must be one of the indicators"),
    ],
)
def test_what_cannot_say_how_full_a_replica_is_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    full = DECODE | {"occupancy_indicator": "kv_cache_ratio"}
    with pytest.raises(ValidationError) as refused:
        workload(PREFILL, full, indicators=measured(FULL | changes))
    assert f"occupancy_indicator='kv_cache_ratio' of pool 'decode' {said}" in str(refused.value)


@pytest.mark.parametrize("load", [RATE, CACHE])
def test_a_load_does_not_say_how_full_a_replica_is(load: str) -> None:
    said = f"occupancy_indicator='{load}' must not be one of the loads"
    with pytest.raises(ValidationError, match=said):
        workload(PREFILL, DECODE | {"occupancy_indicator": load})


def test_an_occupancy_indicator_is_of_one_pool() -> None:
    full = {"occupancy_indicator": "kv_cache_ratio"}
    with pytest.raises(ValidationError, match="'kv_cache_ratio' is that of 2 pools, must be that"):
        workload(PREFILL | full, DECODE | full, indicators=measured(FULL))
    own = PREFILL | {"occupancy_indicator": "prefill_kv_ratio"}
    indicators = measured(FULL, FULL | {"name": "prefill_kv_ratio"})
    spec = workload(own, DECODE | full, indicators=indicators)
    assert all(pool.occupancy_indicator for pool in spec.pools)
