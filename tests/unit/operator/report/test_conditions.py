"""Conditions contain what to do; transition times move on changes only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.operator.plan.part_members import combine
from services.operator.report import conditions
from services.operator.report.facts import AutoscalerFacts, Details, Finding
from services.operator.resource.autoscaler import Pause
from services.operator.resource.status import CONDITION_TYPES
from tests.unit.operator.examples import NOW, STEP, decision, situation
from tests.unit.operator.reports import DETAILS, facts
from tests.unit.operator.variants import two_variants_read


def finding(given_facts: AutoscalerFacts, kind: str, at: Any = NOW) -> Finding:
    return next(f for f in conditions.find(given_facts, at) if f.type == kind)


def test_all_conditions_are_there_in_the_documented_order() -> None:
    assert tuple(f.type for f in conditions.find(facts(), NOW)) == CONDITION_TYPES


def test_a_healthy_one_is_ready() -> None:
    found = {f.type: f.status for f in conditions.find(facts(decision()), NOW)}
    assert found == {
        "Ready": "True",
        "TargetResolved": "True",
        "MetricsFresh": "True",
        "ForecastReady": "True",
        "DecisionActive": "True",
        "ScalingLimited": "False",
        "Fallback": "False",
        "Paused": "False",
        "BudgetExhausted": "False",
        "SLIMeasured": "True",
        "DemandCensored": "False",
        "GoalUnreachable": "False",
        "NotCapacity": "False",
        "LeadTimeBeyondHorizon": "False",
        "GraceTooShort": "False",
        "RoomUnknown": "False",
        "SetApart": "False",
        "OverrideLeftOut": "False",
        "Conflict": "False",
    }


@pytest.mark.parametrize(
    ("given_facts", "kind", "status", "reason", "words"),
    [
        (facts(), "Ready", "False", "NoDecision", "follows the first forecast"),
        (facts(details=None), "MetricsFresh", "Unknown", "NotReadYet", ""),
        (facts(details=Details()), "MetricsFresh", "False", "MetricsMissing", "push observations"),
        (
            facts(details=replace(DETAILS, last_sample_at=NOW - 4 * STEP)),
            "MetricsFresh",
            "False",
            "MetricsStale",
            "check the metric source",
        ),
        (facts(where=situation(None)), "Ready", "False", "TargetNotFound", "does not exist"),
        (
            facts(decision(desired=10, raw=14)),
            "ScalingLimited",
            "True",
            "TooManyReplicas",
            "raise maxReplicas=10",
        ),
        (
            facts(decision(desired=1, raw=0)),
            "ScalingLimited",
            "True",
            "TooFewReplicas",
            "minReplicas=1",
        ),
        (
            facts(decision(desired=6, raw=8, binding_constraint="rate_limit")),
            "ScalingLimited",
            "True",
            "RateLimit",
            "8 replicas are wanted",
        ),
        (
            facts(decision(rung="trailing_percentile")),
            "Fallback",
            "True",
            "TrailingPercentile",
            "answers instead of the forecast",
        ),
        (
            facts(
                decision(), annotations={"scaling.harmony.dev/paused-until": "2026-01-05T13:00:00Z"}
            ),
            "Paused",
            "True",
            "PausedByAnnotation",
            "until 2026-01-05T13:00:00Z",
        ),
        (
            facts(decision(), details=replace(DETAILS, errors=("decide: ValueError: draws of 0",))),
            "SetApart",
            "True",
            "StageFailed",
            "decide: ValueError: draws of 0",
        ),
        (
            facts(decision(is_budget_exhausted=True)),
            "BudgetExhausted",
            "True",
            "ErrorBudgetSpent",
            "until it recovers",
        ),
        (
            facts(decision(), where=replace(situation(4), conflict="ScaledObject/x")),
            "Ready",
            "False",
            "ScaledObject",
            "remove one of them",
        ),
        (
            facts(decision(), where=replace(situation(4), is_conflict_known=False)),
            "Conflict",
            "Unknown",
            "AutoscalersUnreadable",
            "grant list",
        ),
    ],
)
def test_conditions(
    given_facts: AutoscalerFacts, kind: str, status: str, reason: str, words: str
) -> None:
    found = finding(given_facts, kind)
    assert (found.status, found.reason) == (status, reason)
    assert words in found.message


def test_an_hpa_is_a_conflict_but_no_fault_of_an_advisory_one() -> None:
    advisory = replace(situation(4, mode="Advisory"), conflict="HorizontalPodAutoscaler/x")
    given_facts = facts(decision(), where=advisory, mode="Advisory")
    assert finding(given_facts, "Conflict").status == "True"
    assert finding(given_facts, "Ready").status == "True"


@pytest.mark.parametrize(
    ("pause", "reason", "words"),
    [
        (Pause(is_all=True), "PausedByAnnotation", "kubectl harmony resume llama -n serving"),
        (Pause(is_all=True, source="the API"), "PausedByApi", "DELETE /v1/workloads/serving/llama"),
        (Pause(is_all=True, until=NOW + STEP, source="a freeze"), "PausedByFreeze", "12:01:00Z;"),
        (Pause(is_scale_in=True, source="the API"), "ScaleInPaused", "/v1/workloads/serving/llama"),
        (Pause(is_scale_out=True), "ScaleOutPaused", "resume llama -n serving` ends it"),
    ],
)
def test_a_pause_says_who_holds_it_and_how_it_ends(pause: Pause, reason: str, words: str) -> None:
    held = facts(decision())
    held = replace(held, autoscaler=replace(held.autoscaler, pause=pause))
    found = finding(held, "Paused")
    assert (found.status, found.reason) == ("True", reason)
    assert words in found.message


def test_a_decision_that_expired_is_not_ready() -> None:
    found = finding(facts(decision()), "DecisionActive", NOW + 3 * STEP)
    assert (found.status, found.reason) == ("False", "DecisionExpired")


def test_transition_times_move_only_when_the_status_changes() -> None:
    first = conditions.to_conditions([Finding("Ready", "True", "A")], [], 1, NOW)
    same = conditions.to_conditions([Finding("Ready", "True", "B")], first, 2, NOW + STEP)
    other = conditions.to_conditions([Finding("Ready", "False", "C")], same, 2, NOW + 2 * STEP)
    assert [c[0]["lastTransitionTime"][14:16] for c in (first, same, other)] == ["00", "00", "02"]
    assert same[0]["reason"] == "B"


def test_a_message_is_no_longer_than_the_api_server_takes() -> None:
    (written,) = conditions.to_conditions(
        [Finding("Paused", "True", "A", "x" * 40_000)], [], 1, NOW
    )
    assert (len(written["message"]), written["message"][:3]) == (4096, "xxx")


def test_the_roll_out_of_a_second_part_that_hangs_is_told() -> None:
    autoscaler = two_variants_read()
    whole = combine(autoscaler, [situation(2), replace(situation(4), hung="1 of 4 updated")])
    given_facts = AutoscalerFacts(autoscaler, whole, decision(), DETAILS, 60, 180)
    resolved = finding(given_facts, "TargetResolved")
    assert (resolved.status, resolved.reason) == ("True", "RolloutHangs")
    assert "llama-l4 hangs (1 of 4 updated)" in resolved.message
    assert "llama-h100" not in resolved.message
