"""From the custom resource to the workload's spec; what is wrong becomes one line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.resource.autoscaler import ApprovalRule
from services.operator.resource.spec import Approval, SLAClassSpec
from services.operator.resource.translate import to_autoscaler, to_classes
from tests.unit.operator.examples import NOW, resource


def test_everything_arrives() -> None:
    behavior = {
        "scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]},
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "selectPolicy": "Min",
            "policies": [{"type": "Percent", "value": 10, "periodSeconds": 120}],
            "tolerance": "0.05",
        },
    }
    schedule = {
        "name": "night",
        "timezone": "Europe/Berlin",
        "daysOfWeek": ["Sun", "Mon"],
        "startTime": "22:00",
        "endTime": "06:00",
        "minReplicas": 0,
    }
    found = to_autoscaler(
        resource(
            leadTime={"median": "1m30s", "sigma": "0.4"},
            behavior=behavior,
            schedules=[schedule],
            fallback={"staticReplicas": 4},
            cost={"perGpuHour": "3.25"},
            capacity={"perReplica": "12.5", "cv": "0.1"},
        ),
        {},
    )
    spec = found.spec
    assert spec is not None
    assert found.target.label == spec.target == "Deployment/llama"
    assert (spec.sla.epsilon, spec.sla.window_s) == (0.01, 7 * 86400)
    assert (spec.lead_time.median_s, spec.lead_time.sigma) == (90, 0.4)
    assert (spec.capacity.per_replica, spec.capacity.cv) == (12.5, 0.1)
    assert spec.behavior.scale_up.policies[0].period_s == 60
    down = spec.behavior.scale_down
    assert (down.stabilization_window_s, down.select_policy, down.tolerance) == (300, "Min", 0.05)
    assert spec.schedules[0].days_of_week == (0, 6)
    assert (spec.price_usd_per_gpu_hour, spec.fallback_replicas) == (3.25, 4)
    assert (spec.gpus_per_replica, spec.min_replicas, spec.max_replicas) == (2, 1, 10)


def test_the_own_risk_wins_over_the_class() -> None:
    classes = {"gold": SLAClassSpec.model_validate({"risk": {"epsilon": "0.001"}})}
    by_class = to_autoscaler(resource(sla={"class": "gold"}), classes).spec
    own = to_autoscaler(resource(sla={"class": "gold", "risk": {"epsilon": "0.05"}}), classes).spec
    assert by_class is not None
    assert own is not None
    assert (by_class.sla.epsilon, own.sla.epsilon) == (0.001, 0.05)
    assert by_class.sla.sla_class == own.sla.sla_class == "gold"
    assert by_class.sla.priority == own.sla.priority == 200


@pytest.mark.parametrize(
    ("name", "written", "priority"),
    [
        ("gold", None, 200),
        ("silver", None, 100),
        ("bronze", None, 50),
        ("platinum", None, 100),
        ("platinum", 800, 800),
        ("gold", 10, 10),
    ],
)
def test_the_priority_of_the_class_arrives(name: str, written: int | None, priority: int) -> None:
    given = {"risk": {"epsilon": "0.01"}} | ({} if written is None else {"priority": written})
    classes = to_classes([{"metadata": {"name": name}, "spec": given}])
    spec = to_autoscaler(resource(sla={"class": name}), classes).spec
    assert spec is not None
    assert (spec.sla.sla_class, spec.sla.priority) == (name, priority)
    plain = to_autoscaler(resource(), classes).spec
    assert plain is not None
    assert (plain.sla.priority, plain.sla.priority_in_force) == (None, 100)


def test_a_missing_class_is_named_where_an_own_risk_stands() -> None:
    sla = {"class": "glod", "risk": {"epsilon": "0.05"}}
    found = to_autoscaler(resource(sla=sla), {})
    assert found.spec is not None
    assert (found.spec.sla.epsilon, found.spec.sla.priority) == (0.05, 100)
    assert (found.missing_class, found.problem) == ("glod", "")
    there = {"glod": SLAClassSpec.model_validate({"risk": {"epsilon": "0.1"}, "priority": 7})}
    found = to_autoscaler(resource(sla=sla), there)
    assert found.spec is not None
    assert (found.spec.sla.epsilon, found.spec.sla.priority, found.missing_class) == (0.05, 7, "")


def test_a_class_that_counts_for_nothing_cannot_be_read() -> None:
    none = {"metadata": {"name": "free"}, "spec": {"risk": {"epsilon": "0.01"}, "priority": 0}}
    assert to_classes([none]) == {}


def test_an_sla_class_that_cannot_be_read_does_not_exist() -> None:
    good = {"metadata": {"name": "gold"}, "spec": {"risk": {"epsilon": "0.01"}}}
    bad = {"metadata": {"name": "odd"}, "spec": {"risk": {"epsilon": "much"}}}
    assert set(to_classes([good, bad])) == {"gold"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"demand": "nothing"}, "demand='nothing' must be one of the indicators"),
        ({"minReplicas": 11}, "min_replicas=11 must be <= max_replicas=10"),
        ({"sla": {"class": "gold"}}, "sla.class='gold' does not exist or cannot be read; create"),
        ({"sla": {}}, "set sla.class or sla.risk.epsilon"),
        ({"sla": {"risk": {"epsilon": "1.5"}}}, "epsilon"),
        ({"leadTime": {"median": "90"}}, "must be a duration with its unit"),
        ({"leadTime": {"median": "1d"}}, "leadTime.median='1d' must be at most 2h"),
        (
            {"sla": {"objective": {"goals": [{"metric": "e2e", "threshold": "2d"}]}}},
            "sla.objective.goals[e2e].threshold='2d' must be at most 1d",
        ),
        (
            {"approval": {"expireAfter": "9999999d"}},
            "expireAfter: '9999999d' must be at most 3650d",
        ),
        ({"capacity": {}}, "capacity.perReplica: Field required"),
        ({"mode": "Yolo"}, "mode"),
        (
            {"cost": {"perGpuHour": "9" * 306}},
            "cost.perGpuHour: Input should be less than or equal",
        ),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], words: str) -> None:
    found = to_autoscaler(resource(**changes), {})
    assert found.spec is None
    assert words in found.problem
    assert "\n" not in found.problem


def test_the_latency_objective_arrives_in_milliseconds() -> None:
    demand = {"name": "request_rate_rps", "level": 1}
    latency = {"name": "latency_p95_ms", "level": 1}
    capacity = {"perReplica": "12.5", "latencyIndicator": "latency_p95_ms", "sloLatency": "1s500ms"}
    found = to_autoscaler(resource(indicators=[demand, latency], capacity=capacity), {})
    assert found.spec is not None
    assert found.spec.capacity.latency_indicator == "latency_p95_ms"
    assert found.spec.capacity.slo_latency_ms == 1500.0
    half = {"perReplica": "12.5", "latencyIndicator": "latency_p95_ms"}
    found = to_autoscaler(resource(indicators=[demand, latency], capacity=half), {})
    assert found.spec is None
    assert "must be given together or not at all" in found.problem


def test_an_indicator_known_ahead_arrives_and_is_never_the_demand() -> None:
    demand = {"name": "request_rate_rps", "level": 1}
    campaign = {"name": "campaign", "level": 1, "knownAhead": True}
    found = to_autoscaler(resource(demand="request_rate_rps", indicators=[demand, campaign]), {})
    assert found.spec is not None
    assert [one.is_known_ahead for one in found.spec.indicators] == [False, True]
    found = to_autoscaler(resource(demand="campaign", indicators=[demand, campaign]), {})
    assert "demand='campaign' must not be known ahead" in found.problem


def test_what_a_gap_means_arrives() -> None:
    query = "sum(rate(requests_total[$step]))"
    demand = {"name": "request_rate_rps", "level": 1, "query": query}
    found = to_autoscaler(resource(demand="request_rate_rps", indicators=[demand]), {})
    assert found.spec is not None
    assert found.spec.indicators[0].gap == "Unknown"
    zero = demand | {"gap": "Zero"}
    found = to_autoscaler(resource(demand="request_rate_rps", indicators=[zero]), {})
    assert found.spec is not None
    assert found.spec.indicators[0].gap == "Zero"


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"paused": "yes"}, 'must be "true" or "false"'),
        ({"paused-scale-in": "1"}, 'must be "true" or "false"'),
        ({"paused-until": "tomorrow"}, "annotation scaling.harmony.dev/paused-until"),
        ({"paused-until": "2026-01-05T18:00:00"}, "has no time zone"),
        ({"paused-until": "9999-12-31T23:59:59-05:00"}, "must be in a year from 1 to 9999"),
        ({"paused-until": "0001-01-01T00:00:00+14:00"}, "must be in a year from 1 to 9999"),
    ],
)
def test_a_pause_that_cannot_be_read_holds_everything(
    annotations: dict[str, str], words: str
) -> None:
    named = {f"scaling.harmony.dev/{name}": value for name, value in annotations.items()}
    found = to_autoscaler(resource(named), {})
    assert words in found.pause.problem
    assert found.pause.holds(2, 3, NOW)
    assert found.pause.holds(3, 2, NOW)
    assert found.spec is not None
    assert (found.spec.paused, found.spec.paused_until) == (True, None)


@pytest.mark.parametrize("name", ["approved-decision", "rejected-decision"])
@pytest.mark.parametrize("value", ["all", "-1", "²", "1" * 500, str(2**63)])
def test_a_verdict_that_cannot_be_read_is_none(name: str, value: str) -> None:
    found = to_autoscaler(resource({f"scaling.harmony.dev/{name}": value}), {})
    assert found.spec is None
    assert "must be the id of a decision" in found.problem
    assert len(found.problem) < 200


def test_verdicts_name_a_decision_and_a_person() -> None:
    prefix = "scaling.harmony.dev"
    named = {f"{prefix}/rejected-decision": "4711", f"{prefix}/rejected-by": "ada"}
    rule = to_autoscaler(resource(named), {}).approval
    assert (rule.decision_id, rule.rejected_id, rule.rejected_by) == (None, 4711, "ada")


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
def test_who_gave_a_verdict_is_kept_as_text_that_can_be_seen(verdict: str) -> None:
    """It is shown in terminals, events and the status, and whoever may annotate wrote it."""
    written = "bob\x1b[2J\x1b]52;c;cm0=\x07\x9b1m\u202ex\nada" + "y" * 300
    named = {
        f"scaling.harmony.dev/{verdict}-decision": "7",
        f"scaling.harmony.dev/{verdict}-by": written,
    }
    rule = to_autoscaler(resource(named), {}).approval
    kept = rule.approved_by if verdict == "approved" else rule.rejected_by
    assert kept.startswith("bob?[2J?]52;c;cm0=??1m?x?aday")
    assert (kept.isprintable(), len(kept)) == (True, 253)


def test_how_long_an_approval_counts_reaches_the_workload() -> None:
    """The API and the console refuse by it what the operator and the plugin refuse."""
    spec = to_autoscaler(resource(), {}).spec
    assert spec is not None
    assert spec.approval_valid_s == Approval().expire_after_s == ApprovalRule().expire_after_s
    found = to_autoscaler(resource(approval={"expireAfter": "2h"}), {})
    assert found.spec is not None
    assert found.spec.approval_valid_s == found.approval.expire_after_s == 7200.0


def test_pauses_reach_the_workload() -> None:
    named = {
        "scaling.harmony.dev/paused-until": "2026-01-05T18:00:00+02:00",
        "scaling.harmony.dev/paused-scale-in": "true",
    }
    spec = to_autoscaler(resource(named), {}).spec
    assert spec is not None
    assert (spec.paused, spec.paused_until) == (True, "2026-01-05T16:00:00+00:00")
    assert (spec.scale_out_only, spec.scale_in_only) == (True, False)


def test_a_pause_without_end_holds_beside_one_that_is_over() -> None:
    """Nothing takes `paused-until` away, so a pause of last week stands beside that of today."""
    over = {"scaling.harmony.dev/paused-until": "2025-12-30T00:00:00Z"}
    spec = to_autoscaler(resource(over | {"scaling.harmony.dev/paused": "true"}), {}).spec
    assert spec is not None
    assert (spec.paused, spec.paused_until) == (True, None)
    spec = to_autoscaler(resource(over | {"scaling.harmony.dev/paused": "false"}), {}).spec
    assert spec is not None
    assert (spec.paused, spec.paused_until) == (True, "2025-12-30T00:00:00+00:00")


def test_a_schedule_that_never_holds_is_refused() -> None:
    seven = {"name": "day", "minReplicas": 2, "start": "0 7 * * *", "end": "0 7 * * *"}
    found = to_autoscaler(resource(schedules=[seven]), {})
    assert found.spec is None
    assert found.problem.startswith("schedules[day]: start='0 7 * * *' and end='0 7 * * *': ")
    assert "give an end that comes later" in found.problem


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = (
    "sla",
    "capacity",
    "indicators",
    "indicatorsFrom",
    "behavior",
    "schedules",
    "leadTime",
    "minReplicas",
    "cost",
)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, min_size=1, max_size=4))
def test_no_content_raises(changes: dict[str, Any]) -> None:
    found = to_autoscaler(resource(**changes), {})
    assert (found.spec is None) == bool(found.problem)


WINDOWS = {"risk": {"epsilon": "0.05", "kind": "AnyInWindow", "window": "1d"}}
GOAL = {"goals": [{"metric": "ttft", "threshold": "500ms"}]}


def test_a_promise_about_windows_is_refused_where_paths_decide() -> None:
    plain = to_autoscaler(resource(sla=WINDOWS), {})
    assert plain.problem == ""
    assert plain.spec is not None
    assert (plain.spec.sla.kind, plain.spec.needs_paths) == ("AnyInWindow", False)
    felt = to_autoscaler(resource(sla=WINDOWS | {"objective": GOAL}), {})
    assert felt.spec is None
    assert felt.problem.startswith("sla.risk.kind='AnyInWindow' with an objective: ")
    assert felt.problem.endswith(
        "state kind TimeFraction or DemandFraction, or leave out an objective"
    )
