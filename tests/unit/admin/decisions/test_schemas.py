"""Decisions, actions and outcomes as a client reads them."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from services.admin.decisions.schemas import (
    ActionResult,
    ActionView,
    DecisionDetail,
    DecisionSummary,
    ExpectedMissesView,
    ExpectedShare,
    KilledPodView,
    OutcomeView,
    VariantView,
)
from services.operator.plan.plan import Result
from tests.unit.admin.shapes import documented, nullable, optional, through

AT = "2026-01-05T12:00:00Z"
KEY = {"cluster": "default", "namespace": "prod", "workload": "llama"}
VARIANT: dict[str, Any] = {"name": "l4", "gpu_type": "L4", "current": 0, "desired": 6}
SUMMARY: dict[str, Any] = KEY | {
    "id": 7,
    "origin_at": AT,
    "decided_at": AT,
    "current_replicas": 8,
    "raw_replicas": 11,
    "desired_replicas": 10,
    "direction": "up",
    "reason": "scale_up_risk",
    "binding_constraint": "risk",
    "rung": "model",
    "risk_target": 0.01,
    "risk_estimated": 0.004,
    "cost_delta_usd_per_h": 5.0,
    "variants": [VARIANT],
    "action_result": "applied",
    "action_reason": "mode Auto",
    "applied_at": AT,
}
ACTION: dict[str, Any] = KEY | {
    "id": 9,
    "decision_id": 7,
    "origin_at": AT,
    "attempt": 1,
    "from_replicas": 8,
    "to_replicas": 10,
    "result": "applied",
    "reason": "mode Auto",
    "applied_at": AT,
    "parts": [{"name": "decode", "from_replicas": 3, "to_replicas": 5, "is_sure": True}],
}
OUTCOME: dict[str, Any] = KEY | {
    "step_at": AT,
    "decision_id": 7,
    "demand": 41.5,
    "ready_mean": 9.5,
    "needed_replicas": 9,
    "violation_ratio": 0.012,
    "measured_ratio": 0.012,
    "believed_ratio": 0.0,
    "sli_requests": 340.0,
    "sli_miss_low": 0.009,
    "sli_miss_high": 0.012,
    "is_final": True,
    "shortage": 0.0,
    "gpu_hours": 0.8,
    "cost_usd": 2.0,
}
SHARE: dict[str, Any] = {"replicas": 20, "share": 0.031}
KILLED: dict[str, Any] = {
    "pod": "llama-x", "told_at": AT, "killed_at": AT, "grace_s": 30.0, "requests": 3.0,
}  # fmt: skip
MISSES: dict[str, Any] = {"of": "requests", "by_replicas": [SHARE], "floor": 0.008}
DETAIL: dict[str, Any] = SUMMARY | {
    "risk_kind": "DemandFraction",
    "forecast_id": 5,
    "policy_version": "harmony-1",
    "valid_until": AT,
    "model_version": "harmony-flow-3",
    "forecast_rung": "model",
    "forecast_reason": "",
    "demand_unit": "tokens/s",
    "capacity_per_replica": 5800.0,
    "capacity_source": "learned",
    "explanation": {"guards": []},
    "expected_misses": MISSES,
    "bound_by": {"request_rate_rps": 0.18, "output_tokens_per_s": 0.82},
    "replay_message": "decision 7 cannot be made again",
    "actions": [ACTION],
    "killed_pods": [KILLED],
    "outcomes": [OUTCOME],
}
UNTIL_APPLIED = {"action_result", "action_reason", "applied_at"}
MAY_BE_UNKNOWN = UNTIL_APPLIED | {"binding_constraint", "risk_estimated", "variants"}


def test_a_decision_comes_through_whole() -> None:
    assert through(DecisionSummary, SUMMARY) == SUMMARY
    assert through(DecisionDetail, DETAIL) == DETAIL
    assert through(DecisionDetail, DETAIL | {"actions": [], "outcomes": []})["actions"] == []


def test_before_it_is_applied_a_decision_has_no_action() -> None:
    assert optional(DecisionSummary, SUMMARY) == UNTIL_APPLIED | {"binding_constraint", "variants"}
    assert nullable(DecisionSummary, SUMMARY) == MAY_BE_UNKNOWN
    bare = {k: v for k, v in SUMMARY.items() if k not in UNTIL_APPLIED}
    assert through(DecisionSummary, bare) == SUMMARY | dict.fromkeys(UNTIL_APPLIED)


def test_a_decision_may_have_no_variants_no_expected_misses_and_one_load() -> None:
    may_be_absent = {"variants", "expected_misses", "bound_by", "replay_message"}
    may_be_absent |= {"capacity_per_replica", "capacity_source", "risk_kind"}
    assert (
        optional(DecisionDetail, DETAIL)
        == UNTIL_APPLIED | {"binding_constraint", "demand_unit", "killed_pods"} | may_be_absent
    )
    forecast = {"model_version", "forecast_rung", "forecast_reason"}
    assert nullable(DecisionDetail, DETAIL) == MAY_BE_UNKNOWN | forecast | may_be_absent


def test_expected_misses_are_of_requests_or_of_minutes() -> None:
    assert documented(ExpectedShare) == SHARE
    assert through(ExpectedMissesView, MISSES) == MISSES
    may_be_absent = {"floor"}
    assert optional(ExpectedMissesView, MISSES) == may_be_absent
    assert nullable(ExpectedMissesView, MISSES) == may_be_absent
    with pytest.raises(ValidationError, match="of"):
        ExpectedMissesView.model_validate(MISSES | {"of": "tokens"})


def test_a_change_of_any_variant_or_pool_is_one() -> None:
    kept = {"current_replicas": 10, "desired_replicas": 10}
    traded = [VARIANT, VARIANT | {"name": "h100", "current": 9, "desired": 6}]
    changed = DecisionSummary.model_validate(SUMMARY | kept | {"variants": traded})
    assert (changed.is_change, changed.wanted) == (True, "6 of l4 and 6 of h100")
    still = [one | {"current": one["desired"]} for one in traded]
    assert not DecisionSummary.model_validate(SUMMARY | kept | {"variants": still}).is_change
    one_target = DecisionSummary.model_validate(SUMMARY | {"variants": None})
    assert (one_target.is_change, one_target.wanted) == (True, "10 replicas")


@pytest.mark.parametrize("direction", ["sideways", "Up", ""])
def test_replicas_go_up_or_down_or_stay(direction: str) -> None:
    with pytest.raises(ValidationError, match="direction"):
        DecisionSummary.model_validate(SUMMARY | {"direction": direction})


def test_an_action_that_did_not_reach_the_cluster_has_no_counts() -> None:
    assert through(ActionView, ACTION) == ACTION
    assert optional(ActionView, ACTION) == {"parts"}
    assert nullable(ActionView, ACTION) == {"from_replicas", "to_replicas", "parts"}


def test_everything_of_an_outcome_may_be_unmeasured_but_none_of_it_left_out() -> None:
    assert through(OutcomeView, OUTCOME) == OUTCOME
    assert optional(OutcomeView, OUTCOME) == set()
    assert nullable(OutcomeView, OUTCOME) == set(OUTCOME) - {*KEY, "step_at", "is_final"}


def test_of_a_killed_pod_only_the_requests_may_be_unknown() -> None:
    assert through(KilledPodView, KILLED) == KILLED
    assert optional(KilledPodView, KILLED) == nullable(KilledPodView, KILLED) == {"requests"}


def test_a_variant_is_documented_by_one_that_comes_through() -> None:
    assert documented(VariantView) == VARIANT
    assert through(VariantView, VARIANT) == VARIANT
    assert optional(VariantView, VARIANT) == nullable(VariantView, VARIANT) == set()


def test_results_are_those_that_the_operator_writes() -> None:
    assert set(get_args(ActionResult)) == {result.value for result in Result}
