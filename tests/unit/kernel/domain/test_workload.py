"""What a workload's spec refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.kernel.domain import (
    CapacitySpec,
    FurtherLoadSpec,
    IndicatorSpec,
    SlaSpec,
    WorkloadSpec,
)


def spec(**indicator: Any) -> WorkloadSpec:
    campaign = IndicatorSpec(name="campaign", level=1, is_known_ahead=True)
    demand = IndicatorSpec(**{"name": "load_rps", "level": 1, **indicator})
    return WorkloadSpec(
        target="Deployment/x",
        demand="load_rps",
        indicators=(campaign, demand),
        capacity=CapacitySpec(per_replica=1.0),
    )


def test_a_schedule_may_stand_beside_the_demand() -> None:
    assert [one.is_known_ahead for one in spec().indicators] == [True, False]
    assert WorkloadSpec.model_validate_json(spec().model_dump_json()) == spec()


@pytest.mark.parametrize(
    ("indicator", "words"),
    [
        ({"is_known_ahead": True}, "demand='load_rps' must not be known ahead"),
        ({"is_known_ahead": True, "kind": "counter"}, "kind='counter' of 'load_rps'"),
        ({"is_known_ahead": True, "query": "sum(load)"}, r"query='sum\(load\)' of 'load_rps'"),
    ],
)
def test_what_cannot_be_known_ahead(indicator: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        spec(**indicator)


@pytest.mark.parametrize(
    "indicator",
    [{}, {"query": "sum(load)"}, {"query": "sum(x_total[$step])", "kind": "counter"}],
)
def test_an_empty_answer_is_zero_only_of_a_query_over_a_step(indicator: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="gap='Zero' of 'load_rps' needs a gauge whose query"):
        spec(gap="Zero", **indicator)
    right = spec(gap="Zero", query="sum(rate(x_total[$step]))")
    assert WorkloadSpec.model_validate_json(right.model_dump_json()) == right


def learning(latency: dict[str, Any] | None = None, **capacity: Any) -> WorkloadSpec:
    indicators = [IndicatorSpec(name="load_rps", level=1)]
    if latency is not None:
        indicators.append(IndicatorSpec(**{"name": "latency_p95_ms", "level": 1} | latency))
    stated = {"per_replica": 1.0, "latency_indicator": "latency_p95_ms", "slo_latency_ms": 500.0}
    return WorkloadSpec(
        target="Deployment/x",
        demand="load_rps",
        indicators=tuple(indicators),
        capacity=CapacitySpec(**stated | capacity),
    )


def test_a_latency_objective_names_a_measured_indicator() -> None:
    spec = learning({})
    assert WorkloadSpec.model_validate_json(spec.model_dump_json()) == spec
    named = learning({"name": "ttft", "unit": "ms"}, latency_indicator="ttft")
    assert named.capacity.slo_latency_ms == 500.0


@pytest.mark.parametrize(
    ("latency", "capacity", "words"),
    [
        ({}, {"slo_latency_ms": None}, "slo_latency_ms=None must be given together"),
        ({}, {"latency_indicator": ""}, "latency_indicator='' and slo_latency_ms=500.0 must be"),
        ({}, {"slo_latency_ms": 0.0}, "slo_latency_ms\n.*greater than 0"),
        ({}, {"slo_latency_ms": float("inf")}, "slo_latency_ms\n.*finite number"),
        (None, {}, r"latency_indicator='latency_p95_ms' must be one of the indicators \['load"),
        ({}, {"latency_indicator": "load_rps"}, "latency_indicator='load_rps' must not be the dem"),
        ({"kind": "counter"}, {}, "latency_indicator='latency_p95_ms' must be a gauge"),
        ({"is_known_ahead": True}, {}, "latency_indicator='latency_p95_ms' must be a gauge"),
        ({"gap": "Zero", "query": "x[$step]"}, {}, "a latency of nothing is not 0"),
        (
            {"name": "ttft", "unit": "s"},
            {"latency_indicator": "ttft"},
            "unit 's', which must be 'm",
        ),
    ],
)
def test_what_is_no_latency_objective(
    latency: dict[str, Any] | None, capacity: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        learning(latency, **capacity)


@pytest.mark.parametrize(
    ("sla", "priority"),
    [
        ({}, 100),
        ({"sla_class": "gold"}, 200),
        ({"sla_class": "bronze"}, 50),
        ({"sla_class": "platinum"}, 100),
        ({"sla_class": "gold", "priority": 1}, 1),
        ({"sla_class": "platinum", "priority": 1000}, 1000),
    ],
)
def test_a_priority_that_is_given_wins_over_the_name(sla: dict[str, Any], priority: int) -> None:
    assert SlaSpec.model_validate(sla).priority_in_force == priority


@pytest.mark.parametrize("priority", [0, 1001])
def test_a_promise_that_counts_for_nothing_is_refused(priority: int) -> None:
    with pytest.raises(ValidationError, match="priority"):
        SlaSpec(priority=priority)


def test_the_names_of_counts_are_kept_for_objectives() -> None:
    with pytest.raises(ValidationError, match="must not begin with 'sli_'"):
        WorkloadSpec.model_validate(
            {
                "target": "Deployment/llama",
                "demand": "sli_lost",
                "indicators": [{"name": "sli_lost", "level": 1}],
                "capacity": {"per_replica": 10.0},
            }
        )


def bound_by(*loads: dict[str, Any], **capacity: Any) -> WorkloadSpec:
    names = ("load_rps", "output_tokens_per_s", "input_tokens_per_s", "kv_token_s", "cache_rps")
    campaign = IndicatorSpec(name="campaign", level=1, is_known_ahead=True)
    latency = IndicatorSpec(name="latency_p95_ms", level=1)
    return WorkloadSpec(
        target="Deployment/x",
        demand="load_rps",
        indicators=(campaign, latency, *(IndicatorSpec(name=name, level=1) for name in names)),
        capacity=CapacitySpec.model_validate(
            {"per_replica": 1.0, "also_bound_by": loads} | capacity
        ),
    )


def load(indicator: str, per_replica: float = 9.0) -> dict[str, Any]:
    return {"indicator": indicator, "per_replica": per_replica}


def test_further_loads_keep_their_order() -> None:
    spec = bound_by(load("output_tokens_per_s", 2400.0), load("input_tokens_per_s"))
    assert spec.further_loads == ("output_tokens_per_s", "input_tokens_per_s")
    assert spec.capacity.also_bound_by[0] == FurtherLoadSpec(
        indicator="output_tokens_per_s", per_replica=2400.0
    )
    assert WorkloadSpec.model_validate_json(spec.model_dump_json()) == spec
    assert bound_by().further_loads == ()


def test_loads_that_count_what_was_served_are_named_the_demand_first() -> None:
    loads = load("output_tokens_per_s") | {"counts": "served"}, load("kv_token_s")
    spec = bound_by(*loads)
    assert spec.served_loads == ("output_tokens_per_s",)
    served = spec.model_copy(update={"demand_counts": "served"})
    assert served.served_loads == ("load_rps", "output_tokens_per_s")
    assert bound_by().served_loads == ()


LATENCY = {"latency_indicator": "latency_p95_ms", "slo_latency_ms": 500.0}


@pytest.mark.parametrize(
    ("loads", "capacity", "words"),
    [
        ([load("typo")], {}, "indicator='typo' must be one of the indicators"),
        ([load("load_rps")], {}, "indicator='load_rps' must not be the demand"),
        ([load("campaign")], {}, "indicator='campaign' must not be known ahead"),
        ([load("latency_p95_ms")], LATENCY, "'latency_p95_ms' must not be the latency indicator"),
        ([load("kv_token_s")] * 2, {}, "each indicator must be given once"),
        ([load("kv_token_s", 0.0)], {}, "per_replica\n.*greater than 0"),
        ([load("kv_token_s", float("inf"))], {}, "per_replica\n.*finite number"),
        (
            [
                load(name)
                for name in ("output_tokens_per_s", "input_tokens_per_s", "kv_token_s", "cache_rps")
            ],
            {},
            "also_bound_by\n.*at most 3 items",
        ),
    ],
)
def test_what_is_no_further_load(
    loads: list[dict[str, Any]], capacity: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        bound_by(*loads, **capacity)
