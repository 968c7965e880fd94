"""A wrong custom resource is refused by the API server, with the field and the rule."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.operator.conftest import GROUP_PATH, autoscaler_spec
from tests.integration.operator.resource.admission_cases import (
    AHEAD,
    AUTOSCALERS,
    DEMAND,
    LATENCY,
    assert_refused,
    assert_understood,
    post,
)

pytestmark = pytest.mark.integration


def window(**changes: Any) -> list[dict[str, Any]]:
    given = {"name": "day", "startTime": "08:00", "endTime": "18:00", "minReplicas": 2}
    return [{k: v for k, v in (given | changes).items() if v is not None}]


ABSENT = DEMAND | {"query": "sum(rate(requests_total[$step]))", "gap": "Zero"}
GOAL = {"metric": "ttft", "threshold": "500ms"}
ITL = {"metric": "itl", "threshold": "50ms"}
ERRORS = {"metric": "errors"}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"scaleTargetRef": None}, "spec", "give either scaleTargetRef or variants"),
    ({"scaleTargetRef.name": None}, "spec.scaleTargetRef.name", "Required"),
    ({"scaleTargetRef.name": ""}, "spec.scaleTargetRef.name", "at least 1"),
    ({"scaleTargetRef.name": "Llama_3"}, "spec.scaleTargetRef.name", "should match"),
    ({"scaleTargetRef.name": "a" * 254}, "spec.scaleTargetRef.name", "253"),
    ({"scaleTargetRef.kind": None}, "spec.scaleTargetRef.kind", "Required"),
    ({"scaleTargetRef.kind": "deployments"}, "spec.scaleTargetRef.kind", "should match"),
    ({"scaleTargetRef.apiVersion": "apps"}, "spec.scaleTargetRef.apiVersion", "should match"),
    ({"mode": "auto"}, "spec.mode", "Unsupported value"),
    ({"mode": "Off"}, "spec.mode", "Advisory"),
    ({"sla": None}, "spec", "mode Auto needs an sla"),
    ({"sla": {}}, "spec.sla", "sla needs a class or a risk"),
    ({"sla.risk.epsilon": None}, "spec.sla.risk.epsilon", "Required"),
    ({"sla.risk.epsilon": "0"}, "spec.sla.risk", "epsilon must be between 0 and 1"),
    ({"sla.risk.epsilon": 1}, "spec.sla.risk", "epsilon must be between 0 and 1"),
    ({"sla.risk.epsilon": "1.5"}, "spec.sla.risk", "epsilon must be between 0 and 1"),
    ({"sla.risk.epsilon": "1%"}, "spec.sla.risk.epsilon", "should match"),
    ({"sla.risk.epsilon": "-0.1"}, "spec.sla.risk.epsilon", "should match"),
    ({"sla.risk.epsilon": 0.01}, "spec.sla.risk.epsilon", "Invalid"),
    ({"sla.risk.window": "28"}, "spec.sla.risk.window", "should match"),
    ({"sla.risk.window": 28}, "spec.sla.risk.window", "string"),
    ({"sla.risk.window": "0d"}, "spec.sla.risk", "window must be longer than 0"),
    ({"sla.risk.kind": "Often"}, "spec.sla.risk.kind", "Unsupported value"),
    ({"sla.objective": {}}, "spec.sla.objective", "either goals, or one metric"),
    ({"sla.objective": {"metric": "ttft"}}, "spec.sla.objective", "either goals, or one metric"),
    (
        {"sla.objective": {"goals": [GOAL], "metric": "ttft", "threshold": "1s"}},
        "spec.sla.objective",
        "either goals, or one metric",
    ),
    (
        {"sla.objective": {"metric": "ttft", "threshold": "1s", "share": "0.9"}},
        "spec.sla.objective",
        "share goes with goals",
    ),
    ({"sla.objective": {"goals": []}}, "spec.sla.objective.goals", "at least 1"),
    ({"sla.objective": {"goals": [GOAL, GOAL]}}, "spec.sla.objective.goals", "Duplicate"),
    (
        {"sla.objective": {"goals": [{"metric": "latency", "threshold": "1s"}]}},
        "spec.sla.objective.goals[0].metric",
        "Unsupported value",
    ),
    (
        {"sla.objective": {"goals": [GOAL, {"metric": "tpot"}]}},
        "spec.sla.objective.goals[1]",
        "threshold is needed for each latency",
    ),
    (
        {"sla.objective": {"goals": [ERRORS | {"threshold": "1s"}]}},
        "spec.sla.objective.goals[0]",
        "errors have none",
    ),
    (
        {"sla.objective": {"goals": [GOAL | {"threshold": "0ms"}]}},
        "spec.sla.objective.goals[0]",
        "threshold must be longer than 0",
    ),
    (
        {"sla.objective": {"goals": [GOAL | {"threshold": "1441m"}]}},
        "spec.sla.objective.goals[0]",
        "threshold must not be longer than 24h",
    ),
    (
        {"sla.objective": {"goals": [GOAL | {"threshold": 0.5}]}},
        "spec.sla.objective.goals[0].threshold",
        "string",
    ),
    (
        {"sla.objective": {"goals": [GOAL | {"goodQuery": "x"}]}},
        "spec.sla.objective.goals[0]",
        "goodQuery and totalQuery must be given together",
    ),
    (
        {"sla.objective": {"goals": [ERRORS | {"goodQuery": "x", "totalQuery": "y"}]}},
        "spec.sla.objective.goals[0]",
        "errors have a totalQuery only",
    ),
    ({"sla.objective": {"goals": [GOAL], "share": "1"}}, "spec.sla.objective", "share must be"),
    ({"sla.objective": {"goals": [GOAL], "share": 0}}, "spec.sla.objective", "share must be"),
    (
        {"sla.risk.kind": "DemandFraction", "sla.objective": {"goals": [ITL]}},
        "spec.sla",
        "an itl goal counts tokens",
    ),
    ({"demandCounts": "Both"}, "spec.demandCounts", "Unsupported value"),
    ({"minReplicas": 13}, "spec", "minReplicas must not be greater than maxReplicas"),
    ({"minReplicas": -1}, "spec.minReplicas", "greater than or equal to 0"),
    ({"minReplicas": "2"}, "spec.minReplicas", "integer"),
    ({"maxReplicas": None}, "spec.maxReplicas", "Required"),
    ({"maxReplicas": 0}, "spec.maxReplicas", "greater than or equal to 1"),
    ({"gpuType": ""}, "spec.gpuType", "at least 1"),
    ({"gpusPerReplica": 0}, "spec.gpusPerReplica", "greater than or equal to 1"),
    ({"gpusPerReplica": 65}, "spec.gpusPerReplica", "less than or equal to 64"),
    ({"gpusPerReplica": 1.5}, "spec.gpusPerReplica", "integer"),
    ({"demand": "nothing"}, "spec", "demand must be the name of one of the indicators"),
    ({"indicators": []}, "spec.indicators", "at least 1"),
    ({"indicators": None}, "spec", "give indicators, indicatorsFrom or both"),
    ({"indicatorsFrom": []}, "spec.indicatorsFrom", "at least 1"),
    ({"indicatorsFrom": ["ollama"]}, "spec.indicatorsFrom[0]", "Unsupported value"),
    ({"indicatorsFrom": ["dynamo"]}, "spec.indicatorsFrom[0]", "Unsupported value"),
    ({"indicatorsFrom": ["vllm", "vllm"]}, "spec.indicatorsFrom", "Duplicate"),
    ({"indicatorsFrom": ["vllm"], "demand": "nothing"}, "spec", "of one of a preset's"),
    (
        {"indicators": None, "indicatorsFrom": ["dcgm"]},
        "spec",
        "demand must be the name of one of the indicators, or of one of a preset's",
    ),
    (
        {"indicatorsFrom": ["vllm"], "indicators": [DEMAND | {"knownAhead": True}]},
        "spec",
        "demand must not be known ahead",
    ),
    (
        {
            "indicatorsFrom": ["vllm"],
            "capacity.latencyIndicator": "kv_cache_ratio",
            "capacity.sloLatency": "500ms",
        },
        "spec",
        "latencyIndicator must be the name",
    ),
    (
        # what is written out takes the place of the preset's
        {
            "indicatorsFrom": ["vllm"],
            "indicators": [DEMAND, {"name": "ttft_p95_ms", "level": 1, "kind": "counter"}],
            "capacity.latencyIndicator": "ttft_p95_ms",
            "capacity.sloLatency": "500ms",
        },
        "spec",
        "latencyIndicator must be the name",
    ),
    ({"indicators": [DEMAND, DEMAND]}, "spec.indicators", "Duplicate"),
    ({"indicators": [DEMAND, {"name": "sli_x", "level": 1}]}, "spec.indicators[1]", "with sli_"),
    ({"indicators.0.name": "Rate RPS"}, "spec.indicators[0].name", "should match"),
    ({"indicators.0.level": 4}, "spec.indicators[0].level", "Unsupported value"),
    ({"indicators.0.kind": "rate"}, "spec.indicators[0].kind", "Unsupported value"),
    ({"indicators.0.query": "x" * 5000}, "spec.indicators[0].query", "4096"),
    ({"indicators": [DEMAND | {"knownAhead": True}]}, "spec", "demand must not be known ahead"),
    ({"indicators": [DEMAND, AHEAD | {"query": "up"}]}, "spec.indicators[1]", "without a query"),
    ({"indicators": [DEMAND, AHEAD | {"kind": "counter"}]}, "spec.indicators[1]", "is a gauge"),
    ({"indicators.0.gap": "Last"}, "spec.indicators[0].gap", "Unsupported value"),
    ({"indicators.0.gap": "Zero"}, "spec.indicators[0]", "gap: Zero needs a gauge"),
    ({"indicators": [ABSENT | {"query": "up"}]}, "spec.indicators[0]", "covers a step"),
    ({"indicators": [ABSENT | {"kind": "counter"}]}, "spec.indicators[0]", "needs a gauge"),
    ({"capacity": None}, "spec.capacity", "Required"),
    ({"capacity.perReplica": None}, "spec.capacity.perReplica", "Required"),
    ({"capacity.perReplica": "0"}, "spec.capacity", "perReplica must be greater than 0"),
    ({"capacity.perReplica": "12 rps"}, "spec.capacity.perReplica", "should match"),
    ({"capacity.cv": "1.5"}, "spec.capacity", "cv must not be greater than 1"),
    ({"capacity.sloLatency": "500ms"}, "spec.capacity", "given together or not at all"),
    (
        {"capacity.latencyIndicator": "request_rate_rps", "capacity.sloLatency": "500ms"},
        "spec",
        "another indicator than the demand",
    ),
    (
        {
            "indicators": [DEMAND, LATENCY],
            "capacity.latencyIndicator": "latency_ms",
            "capacity.sloLatency": "0ms",
        },
        "spec.capacity",
        "sloLatency must be longer than 0",
    ),
    (
        {
            "indicators": [DEMAND, ABSENT | {"name": "latency_ms"}],
            "capacity.latencyIndicator": "latency_ms",
            "capacity.sloLatency": "500ms",
        },
        "spec",
        "whose gap is Unknown",
    ),
    ({"leadTime": {"median": 90}}, "spec.leadTime.median", "string"),
    ({"leadTime": {"median": "90"}}, "spec.leadTime.median", "should match"),
    ({"leadTime": {"median": "0m0s"}}, "spec.leadTime", "median must be longer than 0"),
    ({"leadTime": {"median": "2h1s"}}, "spec.leadTime", "median must not be longer than 2h"),
    ({"leadTime": {"sigma": "4"}}, "spec.leadTime", "sigma must not be greater than 3"),
    (
        {"behavior": {"scaleUp": {"tolerance": "2"}}},
        "spec.behavior.scaleUp",
        "tolerance must not be greater than 1",
    ),
    (
        {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601}}},
        "spec.behavior.scaleDown.stabilizationWindowSeconds",
        "3600",
    ),
    (
        {"behavior": {"scaleDown": {"selectPolicy": "Sometimes"}}},
        "spec.behavior.scaleDown.selectPolicy",
        "Unsupported value",
    ),
    (
        {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 9}]}}},
        "spec.behavior.scaleUp.policies[0].value",
        "greater than or equal to 1",
    ),
    ({"schedules": window(startTime="8:00")}, "spec.schedules[0].startTime", "should match"),
    ({"schedules": window(endTime="24:00")}, "spec.schedules[0].endTime", "should match"),
    ({"schedules": window(endTime="08:00")}, "spec.schedules[0]", "must differ"),
    ({"schedules": window(minReplicas=None)}, "spec.schedules[0]", "needs minReplicas"),
    (
        {"schedules": window(minReplicas=5, maxReplicas=4)},
        "spec.schedules[0]",
        "must not be greater than its maxReplicas",
    ),
    ({"schedules": window(minReplicas=0)}, "spec", "must lie between those of the spec"),
    ({"schedules": window(maxReplicas=13)}, "spec", "must lie between those of the spec"),
    ({"schedules": window(freeze="Up")}, "spec.schedules[0].freeze", "Unsupported value"),
    ({"schedules": window(daysOfWeek=["Mo"])}, "spec.schedules[0].daysOfWeek", "Unsupported"),
    ({"schedules": window() * 2}, "spec.schedules", "Duplicate"),
    ({"fallback": {"staticReplicas": 13}}, "spec", "staticReplicas must not be greater"),
    ({"fallback": {}}, "spec.fallback.staticReplicas", "Required"),
    ({"cost": {"perGpuHour": "-1"}}, "spec.cost.perGpuHour", "should match"),
    (
        {"cost": {"perGpuHour": "9" * 306}},
        "spec.cost",
        "perGpuHour must not be greater than 1000000",
    ),
    (
        {"cost": {"perGpuHour": 1_000_001}},
        "spec.cost",
        "perGpuHour must not be greater than 1000000",
    ),
    ({"cost": {"perGpuHour": "2", "currency": "EUR"}}, "spec.cost.currency", "Unsupported value"),
    ({"approval": {"expireAfter": "15"}}, "spec.approval.expireAfter", "should match"),
    ({"approval": {"expireAfter": "0s"}}, "spec.approval", "expireAfter must be longer than 0"),
    (
        {"approval": {"autoApproveUpTo": {"replicas": -1}}},
        "spec.approval.autoApproveUpTo.replicas",
        "greater than or equal to 0",
    ),
]


@pytest.mark.parametrize(("changes", "field", "words"), BAD, ids=lambda v: str(v)[:60])
def test_a_wrong_autoscaler_is_refused(
    api: httpx.Client, changes: dict[str, Any], field: str, words: str
) -> None:
    assert_refused(post(api, changes), field, words)


GOOD: list[dict[str, Any]] = [
    {},
    {"minReplicas": 0},
    {"sla.risk.epsilon": "0.001"},
    {"sla": {"class": "gold"}},
    {"mode": "Advisory", "sla": None},
    {"sla.objective": {"metric": "p99_latency", "threshold": "1"}},
    {"sla.objective": {"metric": "ttft_p95", "threshold": "500ms"}},
    {"sla.objective": {"goals": [GOAL, ITL, ERRORS], "share": "0.99"}},
    {
        "sla.risk.kind": "DemandFraction",
        "sla.objective": {
            "goals": [GOAL | {"goodQuery": "x", "totalQuery": "y"}, ERRORS | {"totalQuery": "y"}],
            "lostQuery": "z",
            "waitingQuery": "w",
        },
    },
    {"leadTime": {"median": "1h59m60s"}},
    {"leadTime": {"median": "0.05d"}},
    {"demandCounts": "Served"},
    {"scaleTargetRef": {"kind": "StatefulSet", "name": "llama.v2"}},
    {"scaleTargetRef.apiVersion": "leaderworkerset.x-k8s.io/v1"},
    {"scaleTargetRef.apiVersion": "v1", "scaleTargetRef.kind": "ReplicationController"},
    {"capacity.perReplica": 12, "capacity.cv": "0.1"},
    {"indicators": [DEMAND, AHEAD]},
    {"indicators": None, "indicatorsFrom": ["vllm", "dcgm"]},
    {"indicators": None, "indicatorsFrom": ["dcgm", "sglang"], "demand": "output_tokens_per_s"},
    {
        "indicatorsFrom": ["vllm"],
        "indicators": [AHEAD],
        "capacity.latencyIndicator": "ttft_p95_ms",
        "capacity.sloLatency": "500ms",
    },
    {"indicators": [ABSENT]},
    {
        "indicators": [DEMAND, LATENCY],
        "capacity.latencyIndicator": "latency_ms",
        "capacity.sloLatency": "1s500ms",
    },
    {"leadTime": {"median": "10m", "sigma": "0.4"}},
    {"schedules": window(freeze="ScaleDown", minReplicas=None, timezone="Europe/Berlin")},
    {"schedules": window(maxReplicas=12, daysOfWeek=["Sat", "Sun"])},
    {"behavior": {"scaleDown": {"selectPolicy": "Disabled", "tolerance": "0.05"}}},
    {"approval": {"expireAfter": "1h", "autoApproveUpTo": {"replicas": 0}}},
    {"fallback": {"staticReplicas": 12}, "cost": {"perGpuHour": 0}},
    {"cost": {"perGpuHour": "1000000"}},
]


@pytest.mark.parametrize("changes", GOOD, ids=lambda v: str(v)[:60])
def test_a_right_autoscaler_is_accepted_and_understood(
    api: httpx.Client, changes: dict[str, Any]
) -> None:
    assert_understood(post(api, changes))


def test_an_unknown_field_is_refused_when_the_client_asks_for_it(api: httpx.Client) -> None:
    """`kubectl apply` asks for strict validation."""
    spec = autoscaler_spec("llama") | {"maxReplica": 4}
    body = {"metadata": {"name": "typo"}, "spec": spec}
    refused = api.post(AUTOSCALERS, json=body, params={"fieldValidation": "Strict"})
    assert refused.status_code == 400
    assert 'unknown field "spec.maxReplica"' in refused.json()["message"]


def test_so_is_one_of_a_budget_at_any_depth(api: httpx.Client) -> None:
    spec = {"gpuType": "H100", "gpus": 8, "supply": {"ceiling": 8, "price": "2.50"}}
    body = {"metadata": {"name": "typo"}, "spec": spec}
    budgets = f"{GROUP_PATH}/gpubudgets"
    refused = api.post(budgets, json=body, params={"fieldValidation": "Strict"})
    assert refused.status_code == 400
    assert 'unknown field "spec.supply.price"' in refused.json()["message"]


def test_a_change_is_checked_like_a_new_one(api: httpx.Client) -> None:
    body = {"metadata": {"name": "good"}, "spec": autoscaler_spec("llama")}
    api.post(AUTOSCALERS, json=body).raise_for_status()
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"{AUTOSCALERS}/good"
    refused = api.patch(path, json={"spec": {"maxReplicas": 0}}, headers=headers)
    assert refused.status_code == 422
    assert api.get(path).json()["spec"]["maxReplicas"] == 12
