"""What is measured and what only believed, each with what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.operator.report.facts import Details
from services.operator.report.measurement import (
    demand_censored,
    goal_unreachable,
    lead_time_beyond_horizon,
    not_capacity,
    sli_measured,
)
from tests.unit.operator.reports import DETAILS, facts

RISK = {"epsilon": "0.01"}


def objective(metric: str, threshold: str = "500ms", **changes: Any) -> dict[str, Any]:
    single = {"metric": metric, "threshold": threshold}
    return {"sla": {"risk": RISK, "objective": single}, **changes}


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ("Measured", "True", ""),
        ("NoRequests", "True", ""),
        ("NoObjective", "False", "sla.objective.goals"),
        ("NoSeries", "False", "indicatorsFrom"),
        ("NoAnswer", "False", "harmony presets check"),
    ],
)
def test_the_stored_state_is_told(found: str, status: str, words: str) -> None:
    finding = sli_measured(facts(details=replace(DETAILS, sli_status=found)))
    assert (finding.type, finding.status, finding.reason) == ("SLIMeasured", status, found)
    assert words in finding.message
    own = replace(DETAILS, sli_status=found, sli_message="do this")
    assert sli_measured(facts(details=own)).message == "do this"


@pytest.mark.parametrize(("details", "reason"), [(None, "NotReadYet"), (Details(), "NoDecision")])
def test_without_a_state_it_is_unknown(details: Details | None, reason: str) -> None:
    finding = sli_measured(facts(details=details))
    assert (finding.status, finding.reason) == ("Unknown", reason)


def test_an_unknown_metric_names_those_that_are_known() -> None:
    finding = sli_measured(facts(details=None, **objective("p99_latency_ms")))
    assert (finding.status, finding.reason) == ("False", "UnknownMetric")
    assert "use one of ttft, tpot, itl, e2e, latency, queue" in finding.message


def test_what_the_spec_says_goes_before_the_stored_state() -> None:
    changes = objective("ttft_p95", "0.5ms", indicators=None, indicatorsFrom=["vllm"])
    finding = sli_measured(facts(**changes))
    assert (finding.status, finding.reason) == ("False", "NoBucket")


def test_a_threshold_off_an_edge_is_told_while_it_is_measured() -> None:
    changes = objective("ttft_p95", "700ms", indicators=None, indicatorsFrom=["vllm"])
    finding = sli_measured(facts(**changes))
    assert (finding.status, finding.reason) == ("True", "Measured")
    assert "between 500ms and 750ms" in finding.message


@pytest.mark.parametrize(
    ("details", "status", "reason"),
    [
        (None, "Unknown", "NotReadYet"),
        (Details(), "Unknown", "NotKnown"),
        (Details(censored_message=""), "False", "DemandSeen"),
        (Details(censored_message="queue"), "True", "ReplicasSaturated"),
    ],
)
def test_a_demand_is_censored_seen_or_unknown(
    details: Details | None, status: str, reason: str
) -> None:
    finding = demand_censored(facts(details=details))
    assert (finding.type, finding.status, finding.reason) == ("DemandCensored", status, reason)
    assert finding.message == ("queue" if status == "True" else "")


@pytest.mark.parametrize(
    ("details", "status", "reason"),
    [
        (None, "Unknown", "NotReadYet"),
        (Details(), "Unknown", "NotMeasured"),
        (Details(measured=0.01), "False", "NothingSaysSo"),
        (Details(measured=0.01, unreachable_message="errors"), "True", "MissesAtAnyLoad"),
    ],
)
def test_a_goal_is_out_of_reach_where_too_many_miss_at_any_load(
    details: Details | None, status: str, reason: str
) -> None:
    finding = goal_unreachable(facts(details=details))
    assert (finding.type, finding.status, finding.reason) == ("GoalUnreachable", status, reason)
    assert finding.message == ("errors" if status == "True" else "")


@pytest.mark.parametrize(
    ("details", "status", "reason"),
    [
        (None, "Unknown", "NotReadYet"),
        (Details(), "Unknown", "NotKnown"),
        (Details(not_capacity_message=""), "False", "LoadExplains"),
        (Details(not_capacity_message="release"), "True", "MissesWithoutLoad"),
    ],
)
def test_misses_beyond_what_the_load_explains_are_no_matter_of_capacity(
    details: Details | None, status: str, reason: str
) -> None:
    finding = not_capacity(facts(details=details))
    assert (finding.type, finding.status, finding.reason) == ("NotCapacity", status, reason)
    assert finding.message == ("release" if status == "True" else "")


@pytest.mark.parametrize(
    ("given", "status", "reason", "words"),
    [
        ({"horizon_s": 720.0}, "False", "WithinHorizon", ""),
        (
            {"horizon_s": 720.0, "reach_s": 2400.0, "wanted_s": 2100.0},
            *("False", "WithinReach", "decisions look 40m ahead"),
        ),
        (
            {"horizon_s": 720.0, "reach_s": 1800.0, "wanted_s": 2100.0},
            *("True", "StartsOutlastForecast", "later than 35m after"),
        ),
        # history carries nothing further
        (
            {"horizon_s": 720.0, "reach_s": 720.0, "wanted_s": 2100.0},
            *("True", "StartsOutlastForecast", "decisions look 12m ahead"),
        ),
        ({"horizon_s": None}, "Unknown", "NoForecast", ""),
    ],
)
def test_starts_that_outlast_what_decisions_look_at_are_told(
    given: dict[str, Any], status: str, reason: str, words: str
) -> None:
    found = lead_time_beyond_horizon(facts(details=replace(DETAILS, **given)))
    assert (found.type, found.status, found.reason) == ("LeadTimeBeyondHorizon", status, reason)
    assert words in found.message


def test_before_anything_was_read_nothing_is_said_of_the_horizon() -> None:
    assert lead_time_beyond_horizon(facts(details=None)).status == "Unknown"
