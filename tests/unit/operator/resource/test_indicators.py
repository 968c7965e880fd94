"""Indicators of presets stand beside those that are written out, which win."""

from __future__ import annotations

from typing import Any

import pytest

from services.kernel.domain.presets import PRESETS
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import resource
from tests.unit.operator.variants import pool, two_pools

VLLM = [indicator.name for indicator in PRESETS["vllm"].indicators if not indicator.is_offered]


def found(**changes: Any) -> dict[str, str]:
    """Queries of a workload by the names of its indicators."""
    autoscaler = to_autoscaler(resource(**changes), {})
    assert autoscaler.problem == ""
    assert autoscaler.spec is not None
    return {indicator.name: indicator.query for indicator in autoscaler.spec.indicators}


def problem(**changes: Any) -> str:
    autoscaler = to_autoscaler(resource(**changes), {})
    assert autoscaler.spec is None
    return autoscaler.problem


def test_a_preset_alone_is_enough() -> None:
    queries = found(indicators=None, indicatorsFrom=["vllm"], demand="output_tokens_per_s")
    assert list(queries) == VLLM
    assert all('namespace="serving",pod=~"llama-.*"' in query for query in queries.values())


def test_what_is_written_out_takes_the_place_of_a_preset_s() -> None:
    own = {"name": "request_rate_rps", "level": 1, "query": "sum(rate(arrived_total[$step]))"}
    queries = found(indicators=[own], indicatorsFrom=["vllm", "dcgm"])
    assert queries["request_rate_rps"] == own["query"]
    assert set(queries) == {*VLLM, *(indicator.name for indicator in PRESETS["dcgm"].indicators)}


def test_of_two_presets_the_first_counts() -> None:
    queries = found(indicators=None, indicatorsFrom=["triton", "dcgm"])
    assert queries["gpu_duty_ratio"].startswith("avg(avg_over_time(nv_gpu_utilization")
    assert queries["gpu_power_w"].startswith("sum(avg_over_time(DCGM_FI_DEV_POWER_USAGE")


def test_variants_are_measured_together() -> None:
    variants = [
        {
            "name": kind.lower(),
            "scaleTargetRef": {"kind": "Deployment", "name": f"llama-{kind.lower()}"},
            "gpuType": kind,
        }
        for kind in ("H100", "A100")
    ]
    changes: dict[str, Any] = {"scaleTargetRef": None, "gpuType": None, "gpusPerReplica": 1}
    queries = found(**changes, variants=variants, indicators=None, indicatorsFrom=["vllm"])
    assert 'pod=~"(llama-h100|llama-a100)-.*"' in queries["request_rate_rps"]


def test_the_capacity_may_be_learned_from_a_preset_s_latency() -> None:
    capacity = {"perReplica": "12", "latencyIndicator": "ttft_p95_ms", "sloLatency": "500ms"}
    spec = to_autoscaler(
        resource(indicators=None, indicatorsFrom=["vllm"], capacity=capacity), {}
    ).spec
    assert spec is not None
    assert spec.capacity.latency_indicator == "ttft_p95_ms"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"indicators": None}, "give indicators, indicatorsFrom or both"),
        ({"indicatorsFrom": ["ollama"]}, "indicatorsFrom.0: preset='ollama' must be one of"),
        ({"indicatorsFrom": ["gateway"]}, "indicatorsFrom.0: preset='gateway' must be one of"),
        (
            {"indicators": None, "indicatorsFrom": ["dcgm"]},
            "demand='request_rate_rps' must be one of the indicators",
        ),
        (
            {"indicatorsFrom": ["vllm"], "scaleTargetRef": None},
            "give scaleTargetRef and gpuType, or variants",
        ),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], words: str) -> None:
    assert words in problem(**changes)


def test_offered_loads_are_measured_where_the_spec_names_them() -> None:
    loads = [{"indicator": "offered_kv_tokens", "perReplica": "95000"}]
    capacity = {"perReplica": "12", "alsoBoundBy": loads}
    changes: dict[str, Any] = {"indicators": None, "indicatorsFrom": ["vllm"]}
    queries = found(**changes, demand="offered_request_rate_rps", capacity=capacity)
    assert set(queries) == {*VLLM, "offered_request_rate_rps", "offered_kv_tokens"}


def test_what_a_further_load_counts_is_told_by_its_query_unless_it_is_said() -> None:
    loads = [
        {"indicator": "output_tokens_per_s", "perReplica": "2400"},
        {"indicator": "offered_kv_tokens", "perReplica": 95000},
        {"indicator": "input_tokens_per_s", "perReplica": "9000.5", "counts": "Arrivals"},
    ]
    changes = {"indicatorsFrom": ["vllm"], "capacity": {"perReplica": "12", "alsoBoundBy": loads}}
    spec = to_autoscaler(resource(**changes), {}).spec
    assert spec is not None
    assert spec.further_loads == (
        "output_tokens_per_s",
        "offered_kv_tokens",
        "input_tokens_per_s",
    )
    further = spec.capacity.also_bound_by
    assert [one.per_replica for one in further] == [2400.0, 95000.0, 9000.5]
    assert [one.counts for one in further] == ["served", "arrives", "arrives"]
    assert spec.served_loads == ("output_tokens_per_s",)


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"indicator": "typo"}, "indicator='typo' must be one of the indicators"),
        ({"indicator": "request_rate_rps"}, "must not be the demand"),
        ({"indicator": "queue_requests", "perReplica": "much"}, "capacity.alsoBoundBy.0.perRep"),
    ],
)
def test_a_wrong_further_load_is_a_problem_of_its_field(load: dict[str, Any], words: str) -> None:
    capacity = {"perReplica": "12", "alsoBoundBy": [{"perReplica": "1"} | load]}
    assert words in problem(indicatorsFrom=["vllm"], capacity=capacity)


def test_the_loads_of_a_pool_are_measured_at_that_pool_alone() -> None:
    """A request passes both pools: measured at both it would count twice."""
    tokens = "offered_output_tokens_per_s"
    found = to_autoscaler(
        two_pools(
            indicators=None,
            indicatorsFrom=["vllm"],
            capacity={
                "perReplica": "9",
                "alsoBoundBy": [{"indicator": tokens, "perReplica": "2400"}],
            },
            pools=[pool("prefill", "request_rate_rps"), pool("decode", tokens)],
        ),
        {},
    )
    assert found.spec is not None, found.problem
    queries = {indicator.name: indicator.query for indicator in found.spec.indicators}
    assert 'pod=~"llama-prefill-.*"' in queries["request_rate_rps"]
    assert 'pod=~"llama-decode-.*"' in queries[tokens]
    assert 'pod=~"(llama-prefill|llama-decode)-.*"' in queries["queue_requests"]


def with_occupancy(prefill: str | None, decode: str | None, *own: dict[str, Any]) -> dict[str, Any]:
    """Two pools measured by the preset of vLLM, each with what says how full its replicas are."""
    given = {"prefill": (prefill, "request_rate_rps"), "decode": (decode, "output_tokens_per_s")}
    pools = [
        pool(name, load) | ({} if full is None else {"occupancyIndicator": full})
        for name, (full, load) in given.items()
    ]
    return two_pools(indicators=list(own) or None, indicatorsFrom=["vllm"], pools=pools)


def test_how_full_a_replica_is_is_measured_at_that_pool_alone() -> None:
    """A mean over both pools would say of neither how full its replicas are."""
    unread = to_autoscaler(with_occupancy(None, None), {}).spec
    found = to_autoscaler(with_occupancy(None, "kv_cache_ratio"), {}).spec
    assert unread is not None
    assert found is not None
    before = {indicator.name: indicator.query for indicator in unread.indicators}
    queries = {indicator.name: indicator.query for indicator in found.indicators}
    both = 'pod=~"(llama-prefill|llama-decode)-.*"'
    assert both in before["kv_cache_ratio"]
    assert 'pod=~"llama-decode-.*"' in queries["kv_cache_ratio"]
    assert "prefill" not in queries["kv_cache_ratio"]
    assert both in queries["queue_requests"]


def test_of_two_pools_one_writes_its_own_out() -> None:
    refused = to_autoscaler(with_occupancy("kv_cache_ratio", "kv_cache_ratio"), {})
    assert refused.spec is None
    assert "occupancy_indicator='kv_cache_ratio' is that of 2 pools" in refused.problem
    assert "write the other's out among the indicators, under another name" in refused.problem
    own = {"name": "prefill_kv_ratio", "level": 2, "unit": "ratio", "query": "avg(x)"}
    found = to_autoscaler(with_occupancy("prefill_kv_ratio", "kv_cache_ratio", own), {}).spec
    assert found is not None
    queries = {indicator.name: indicator.query for indicator in found.indicators}
    assert queries["prefill_kv_ratio"] == "avg(x)"
    assert 'pod=~"llama-decode-.*"' in queries["kv_cache_ratio"]


def test_an_occupancy_that_is_written_out_takes_the_place_of_a_preset_s() -> None:
    own = {"name": "kv_cache_ratio", "level": 2, "unit": "ratio", "query": "avg(x)"}
    found = to_autoscaler(with_occupancy(None, "kv_cache_ratio", own), {}).spec
    assert found is not None
    assert {i.name: i.query for i in found.indicators}["kv_cache_ratio"] == "avg(x)"
