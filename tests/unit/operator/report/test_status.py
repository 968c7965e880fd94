"""The status shows what happened and keeps what is not known now; patches are exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.plan.plan import PlannedAction, Result
from services.operator.report.status import (
    AutoscalerReport,
    TakenAction,
    build,
    is_urgent,
    merge_patch,
)
from services.operator.resource.definitions import GPU_AUTOSCALER, open_api_schema
from services.operator.resource.status import GPUAutoscalerStatus
from tests.unit.operator.examples import NOW, STEP, decision
from tests.unit.operator.reports import DETAILS, applied, facts, report


def test_the_status_fits_its_schema() -> None:
    status = build(report(applied()), NOW)
    GPUAutoscalerStatus.model_validate(status)
    known = open_api_schema(GPU_AUTOSCALER)["properties"]["status"]["properties"]
    assert set(status) <= set(known)
    for name in ("forecast", "risk", "leadTime", "lastDecision"):
        assert set(status[name]) <= set(known[name]["properties"]), name


def test_the_status_shows_what_happened() -> None:
    status = build(report(applied()), NOW)
    assert (status["currentReplicas"], status["desiredReplicas"]) == (6, 6)
    assert status["lastScaleTime"] == "2026-01-05T12:00:00Z"
    assert status["lastDecision"]["result"] == "applied"
    assert status["decisionHistory"][0]["current"] == 4
    assert status["forecast"]["p90"] == 30.0
    assert status["leadTime"] == {"measuredP50": "1m1s", "measuredP90": "1m35s", "samples": 12}
    assert status["risk"] == {
        "target": 0.01,
        "estimated": 0.004,
        "measuredLow": 0.0015,
        "measured": 0.002,
        "measuredHigh": 0.5,
        "believed": 0.001,
        "source": "measured",
        "budgetRemainingLow": -61.5,
        "budgetRemaining": -0.25,
        "budgetRemainingHigh": 0.0625,
    }


def test_what_is_believed_is_not_shown_as_measured() -> None:
    believed = replace(
        DETAILS,
        measured=None,
        measured_low=None,
        measured_high=None,
        budget_source="believed",
        budget_left_low=None,
        budget_left_high=None,
    )
    assert build(report(details=believed), NOW)["risk"] == {
        "target": 0.01,
        "estimated": 0.004,
        "believed": 0.001,
        "source": "believed",
        "budgetRemaining": -0.25,
    }
    nothing = replace(believed, believed=None)
    assert build(report(details=nothing), NOW)["risk"] == {"target": 0.01, "estimated": 0.004}


def test_a_promise_about_windows_is_told_as_what_it_is_of_a_step_decided_or_not() -> None:
    """Of 168 hours in steps of a minute; what was measured beside it is a share of steps."""
    risk = {"epsilon": "0.05", "kind": "AnyInWindow", "window": "7d"}
    undecided = build(AutoscalerReport(facts(sla={"risk": risk}), None), NOW)["risk"]
    assert undecided["target"] == pytest.approx(1 - 0.95 ** (1 / (7 * 1440)), rel=1e-3)
    assert (undecided["measured"], "estimated" in undecided) == (0.002, False)
    decided = replace(decision(), risk_target=undecided["target"])
    assert build(AutoscalerReport(facts(decided, sla={"risk": risk}), None), NOW)["risk"] == (
        undecided | {"estimated": 0.004}
    )


def test_what_is_not_known_now_stays_as_it_was() -> None:
    status = build(report(applied()), NOW)
    later = build(report(None, details=None, status=status), NOW + STEP)
    for name in ("forecast", "leadTime", "desiredReplicas", "lastScaleTime", "decisionHistory"):
        assert later[name] == status[name]
    assert later["lastDecision"]["result"] == "applied"
    assert later["risk"] == status["risk"]


def test_the_history_keeps_ten() -> None:
    status: dict[str, Any] = {}
    for n in range(14):
        action = PlannedAction(decision(n), Result.APPLIED, "r", n, n + 1)
        status = build(
            AutoscalerReport(facts(decision(n), status=status), None, (TakenAction(action, NOW),)),
            NOW,
        )
    assert [entry["id"] for entry in status["decisionHistory"]] == list(range(13, 3, -1))


def test_what_was_done_earlier_is_told_later_without_touching_the_listed_count() -> None:
    late = TakenAction(applied(), NOW, is_listed=True)
    status = build(AutoscalerReport(facts(decision(2)), None, (late,)), NOW + STEP)
    assert (status["currentReplicas"], status["desiredReplicas"]) == (4, 6)
    assert status["lastScaleTime"] == "2026-01-05T12:00:00Z"
    assert (status["lastDecision"]["id"], status["decisionHistory"][0]["id"]) == (2, 1)
    assert "result" not in status["lastDecision"]


def test_figures_alone_are_not_urgent() -> None:
    before = build(report(), NOW)
    moved = build(report(details=replace(DETAILS, measured=0.003)), NOW)
    assert merge_patch(before, moved) == {"risk": {"measured": 0.003}}
    assert not is_urgent(before, moved)
    assert is_urgent(before, build(report(applied()), NOW))
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


def test_times_are_to_the_second() -> None:
    odd = NOW + timedelta(microseconds=123456)
    assert build(report(applied()), odd)["lastScaleTime"] == "2026-01-05T12:00:00Z"


def test_what_little_a_decision_costs_is_told() -> None:
    newest = decision(cost_delta_usd_per_h=0.00004)
    status = build(AutoscalerReport(facts(newest), None), NOW)
    assert status["lastDecision"]["costDeltaPerHour"] == 0.00004
