"""Conditions say what to do, transition times move on changes only, patches are exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.cluster.pods import Replicas
from services.operator.plan.plan import Decision, PlannedAction, Result, Situation
from services.operator.report import conditions
from services.operator.report.conditions import Details, Facts, Finding
from services.operator.report.events import notices, to_event
from services.operator.report.status import Done, Outlook, build, is_urgent, merge_patch
from services.operator.resource.autoscaler import Pause
from services.operator.resource.definitions import GPU_AUTOSCALER, open_api_schema
from services.operator.resource.status import CONDITION_TYPES, GPUAutoscalerStatus
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import NOW, STEP, decision, resource, situation

DETAILS = Details(
    last_sample_at=NOW - STEP,
    model_version="m1",
    rung="model",
    origin_at=NOW - STEP,
    horizon_s=720,
    next_step={0.1: 10.0, 0.5: 20.0, 0.8999999761581421: 30.0, 0.99: 40.0},
    coverage=0.91,
    measured=0.002,
    n_outcomes=1000,
    lead_p50_s=61.2,
    lead_p90_s=95.0,
    n_starts=12,
)


def facts(
    newest: Decision | None = None,
    details: Details | None = DETAILS,
    where: Situation | None = None,
    annotations: dict[str, str] | None = None,
    status: dict[str, Any] | None = None,
    **changes: Any,
) -> Facts:
    autoscaler = to_autoscaler(resource(annotations, status, **changes), {})
    found = where or situation(4, annotations, **changes)
    return Facts(autoscaler, found, newest, details, 60, 180)


def finding(given_facts: Facts, kind: str, at: Any = NOW) -> Finding:
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
def test_conditions(given_facts: Facts, kind: str, status: str, reason: str, words: str) -> None:
    found = finding(given_facts, kind)
    assert (found.status, found.reason) == (status, reason)
    assert words in found.message


def test_an_hpa_beside_an_advisory_one_is_said_but_no_fault() -> None:
    beside = replace(situation(4, mode="Advisory"), conflict="HorizontalPodAutoscaler/x")
    given_facts = facts(decision(), where=beside, mode="Advisory")
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


def outlook(action: PlannedAction | None = None, **changes: Any) -> Outlook:
    done = () if action is None else (Done(action, NOW),)
    return Outlook(facts(decision(), **changes), Replicas(ready=4), done)


def applied() -> PlannedAction:
    return PlannedAction(decision(), Result.APPLIED, "scale_up_risk", 4, 6)


def test_the_status_fits_its_schema() -> None:
    status = build(outlook(applied()), NOW)
    GPUAutoscalerStatus.model_validate(status)
    known = open_api_schema(GPU_AUTOSCALER)["properties"]["status"]["properties"]
    assert set(status) <= set(known)
    for name in ("forecast", "risk", "leadTime", "lastDecision"):
        assert set(status[name]) <= set(known[name]["properties"]), name


def test_the_status_shows_what_happened() -> None:
    status = build(outlook(applied()), NOW)
    assert (status["currentReplicas"], status["desiredReplicas"]) == (6, 6)
    assert status["lastScaleTime"] == "2026-01-05T12:00:00Z"
    assert status["lastDecision"]["result"] == "applied"
    assert status["decisionHistory"][0]["current"] == 4
    assert status["forecast"]["p90"] == 30.0
    assert status["leadTime"] == {"measuredP50": "1m1s", "measuredP90": "1m35s", "samples": 12}
    assert status["risk"] == {
        "target": 0.01,
        "estimated": 0.004,
        "measured": 0.002,
        "budgetRemaining": pytest.approx(1 - 0.002 * 1000 * 60 / (0.01 * 7 * 86400), rel=1e-3),
    }


def test_what_is_not_known_now_stays_as_it_was() -> None:
    status = build(outlook(applied()), NOW)
    later = build(outlook(None, details=None, status=status), NOW + STEP)
    for name in ("forecast", "leadTime", "desiredReplicas", "lastScaleTime", "decisionHistory"):
        assert later[name] == status[name]
    assert later["lastDecision"]["result"] == "applied"
    assert later["risk"]["measured"] == 0.002


def test_the_history_keeps_ten() -> None:
    status: dict[str, Any] = {}
    for n in range(14):
        action = PlannedAction(decision(n), Result.APPLIED, "r", n, n + 1)
        status = build(Outlook(facts(decision(n), status=status), None, (Done(action, NOW),)), NOW)
    assert [entry["id"] for entry in status["decisionHistory"]] == list(range(13, 3, -1))


def test_what_was_done_earlier_is_told_later_without_touching_the_listed_count() -> None:
    late = Done(applied(), NOW, is_listed=True)
    status = build(Outlook(facts(decision(2)), None, (late,)), NOW + STEP)
    assert (status["currentReplicas"], status["desiredReplicas"]) == (4, 6)
    assert status["lastScaleTime"] == "2026-01-05T12:00:00Z"
    assert (status["lastDecision"]["id"], status["decisionHistory"][0]["id"]) == (2, 1)
    assert "result" not in status["lastDecision"]


def test_figures_alone_are_not_urgent() -> None:
    before = build(outlook(), NOW)
    moved = build(outlook(details=replace(DETAILS, measured=0.003)), NOW)
    assert merge_patch(before, moved) == {
        "risk": {"measured": 0.003, "budgetRemaining": moved["risk"]["budgetRemaining"]}
    }
    assert not is_urgent(before, moved)
    assert is_urgent(before, build(outlook(applied()), NOW))
    assert is_urgent({}, before)


nested = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3)
documents = st.dictionaries(
    st.sampled_from("xyz"), st.one_of(st.integers(0, 3), st.lists(st.integers(0, 2)), nested)
)


def merged(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396 as a reference."""
    found = dict(document)
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict):
            old = found.get(name)
            found[name] = merged(old if isinstance(old, dict) else {}, value)
        else:
            found[name] = value
    return found


@given(documents, documents)
def test_a_merge_patch_leads_to_what_was_meant(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert merged(before, merge_patch(before, after)) == {**before, **after}
    assert merge_patch(after, after) == {}


def test_events_tell_rescales_and_transitions_once() -> None:
    before = build(outlook(), NOW)
    assert notices(outlook(status=before), build(outlook(status=before), NOW)) == []
    scaled = outlook(applied(), status=before)
    (rescale,) = notices(scaled, build(scaled, NOW))
    assert (rescale.reason, rescale.message) == (
        "SuccessfulRescale",
        "New size: 6; was: 4; reason: scale_up_risk",
    )
    pause = outlook(status=before, annotations={"scaling.harmony.dev/paused": "true"})
    paused = build(pause, NOW)
    assert [n.reason for n in notices(pause, paused)] == ["Paused"]
    resumed = outlook(status=paused)
    assert [n.reason for n in notices(resumed, build(resumed, NOW))] == ["Resumed"]


def test_an_event_names_its_autoscaler() -> None:
    event = to_event(facts().autoscaler, notices(outlook(applied()), build(outlook(), NOW))[0], NOW)
    assert event["involvedObject"]["uid"] == "u1"
    assert event["metadata"] == {"namespace": "serving", "generateName": "llama."}
    assert event["firstTimestamp"] == "2026-01-05T12:00:00Z"


def test_times_are_to_the_second() -> None:
    odd = NOW + timedelta(microseconds=123456)
    assert build(outlook(applied()), odd)["lastScaleTime"] == "2026-01-05T12:00:00Z"
