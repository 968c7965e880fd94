"""Goals become counts; the older form stays valid, and what cannot be measured is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.kernel.domain import ObjectiveSpec
from services.operator.resource.autoscaler import Autoscaler
from services.operator.resource.objective import KNOWN_METRICS
from services.operator.resource.spec import SLAClassSpec
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import resource

RISK = {"epsilon": "0.01"}
TTFT = {"metric": "ttft", "threshold": "500ms"}
TPOT = {"metric": "tpot", "threshold": "50ms"}
READY = (
    'sum(avg_over_time(kube_deployment_status_replicas_ready{namespace="serving",'
    'deployment="llama"}[$step]))'
)
PRESET: dict[str, Any] = {"indicators": None, "indicatorsFrom": ["vllm"]}


def read(
    objective: dict[str, Any] | None,
    risk: dict[str, Any] | None = None,
    of_class: dict[str, Any] | None = None,
    **changes: Any,
) -> Autoscaler:
    sla: dict[str, Any] = {"risk": RISK if risk is None else risk}
    classes = {}
    if objective is not None:
        sla["objective"] = objective
    if of_class is not None:
        sla = {name: value for name, value in sla.items() if name != "risk"} | {"class": "gold"}
        classes = {"gold": SLAClassSpec.model_validate({"risk": RISK, "objective": of_class})}
    return to_autoscaler(resource(sla=sla, **changes), classes)


def objective_of(found: Autoscaler) -> ObjectiveSpec:
    assert found.problem == ""
    assert found.spec is not None
    assert found.spec.sla.objective is not None
    return found.spec.sla.objective


def goals_of(found: Autoscaler) -> dict[str, float | None]:
    return {goal.metric: goal.threshold_s for goal in objective_of(found).goals}


def queries_of(found: Autoscaler) -> dict[str, str]:
    return {one.name: one.query for one in objective_of(found).series}


def test_goals_arrive_with_the_series_of_the_presets() -> None:
    found = read({"goals": [TTFT, TPOT, {"metric": "errors"}], "share": "0.9"}, **PRESET)
    assert goals_of(found) == {"ttft": 0.5, "tpot": 0.05, "errors": None}
    assert objective_of(found).share == 0.9
    queries = queries_of(found)
    assert list(queries) == [
        "sli_ttft_total", "sli_ttft_good", "sli_tpot_total", "sli_tpot_good", "sli_errors_total",
        "sli_lost", "sli_waiting", "sli_ready",
    ]  # fmt: skip
    assert queries.pop("sli_ready") == READY
    assert all('namespace="serving",pod=~"llama-.*"' in query for query in queries.values())
    assert (found.unmeasured, found.objective_note) == (None, "")


def test_the_share_has_a_default() -> None:
    assert objective_of(read({"goals": [TTFT]})).share == 0.95


def test_without_an_objective_nothing_is_measured() -> None:
    found = read(None, **PRESET)
    assert found.spec is not None
    assert (found.spec.sla.objective, found.unmeasured) == (None, None)


def test_without_presets_the_counts_are_pushed() -> None:
    queries = queries_of(read({"goals": [TTFT]}))
    assert queries == dict.fromkeys(
        ("sli_ttft_total", "sli_ttft_good", "sli_lost", "sli_waiting"), ""
    )


def test_own_queries_win() -> None:
    goal = TTFT | {"goodQuery": "good", "totalQuery": "all"}
    errors = {"metric": "errors", "totalQuery": "tried"}
    asked = {"goals": [goal, errors], "lostQuery": "lost", "waitingQuery": "waiting"}
    queries = queries_of(read(asked, **PRESET))
    assert queries == {
        "sli_ttft_total": "all",
        "sli_ttft_good": "good",
        "sli_errors_total": "tried",
        "sli_lost": "lost",
        "sli_waiting": "waiting",
        "sli_ready": READY,
    }


def test_who_was_ready_in_the_past_is_asked_by_the_kind_of_the_target() -> None:
    asked = {"goals": [TTFT]}
    target = {"kind": "StatefulSet", "name": "llama"}
    queries = queries_of(read(asked, **PRESET, scaleTargetRef=target))
    assert queries["sli_ready"] == (
        'sum(avg_over_time(kube_statefulset_status_replicas_ready{namespace="serving",'
        'statefulset="llama"}[$step]))'
    )
    other = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "l"}
    assert "sli_ready" not in queries_of(read(asked, **PRESET, scaleTargetRef=other))


def test_all_variants_are_counted_together() -> None:
    variants = [
        {
            "name": kind.lower(),
            "scaleTargetRef": {"kind": "Deployment", "name": f"llama-{kind.lower()}"},
            "gpuType": kind,
        }
        for kind in ("H100", "A100")
    ]
    changes = PRESET | {"scaleTargetRef": None, "gpuType": None, "gpusPerReplica": 1}
    queries = queries_of(read({"goals": [TTFT]}, variants=variants, **changes))
    assert 'pod=~"(llama-h100|llama-a100)-.*"' in queries["sli_ttft_good"]
    assert "sli_ready" not in queries, "nothing tells which of them served"


@pytest.mark.parametrize(
    ("metric", "goal", "share"),
    [
        ("ttft_p95", "ttft", 0.95),
        ("ttft_p99", "ttft", 0.99),
        ("ttft_p999", "ttft", 0.999),
        ("ttft", "ttft", 0.95),
        ("latency_p50", "e2e", 0.5),
        ("e2e_p90", "e2e", 0.9),
        ("itl_p9", "itl", 0.09),
        ("tpot", "tpot", 0.95),
        ("queue_p99", "queue", 0.99),
    ],
)
def test_the_older_form_is_one_goal(metric: str, goal: str, share: float) -> None:
    found = read({"metric": metric, "threshold": "1s500ms"}, **PRESET)
    assert goals_of(found) == {goal: 1.5}
    assert objective_of(found).share == share
    assert found.unmeasured is None
    assert f"sli_{goal}_total" in queries_of(found)


def test_the_older_form_may_have_queries_of_its_own_too() -> None:
    asked = {"metric": "ttft_p95", "threshold": "500ms", "lostQuery": "lost"}
    assert queries_of(read(asked, **PRESET))["sli_lost"] == "lost"


@pytest.mark.parametrize(
    ("metric", "threshold", "reason"),
    [
        ("p99_latency_ms", "500ms", "UnknownMetric"),
        ("errors", "1s", "UnknownMetric"),
        ("ttft_p0", "1s", "UnknownMetric"),
        ("ttft_p100", "1s", "UnknownMetric"),
        ("TTFT", "1s", "UnknownMetric"),
        ("ttft_p95", "500", "UnreadableThreshold"),
        ("ttft_p95", "0ms", "UnreadableThreshold"),
        ("ttft_p95", "2d", "UnreadableThreshold"),
        ("ttft_p95", "0.5ms", "NoBucket"),
    ],
)
def test_whatever_the_older_form_says_stays_valid(metric: str, threshold: str, reason: str) -> None:
    found = read({"metric": metric, "threshold": threshold}, **PRESET)
    assert found.problem == ""
    assert found.spec is not None
    assert found.unmeasured is not None
    assert found.unmeasured.reason == reason
    if reason == "UnknownMetric":
        assert all(known in found.unmeasured.message for known in KNOWN_METRICS)
        assert found.spec.sla.objective is None


def test_tokens_are_no_share_of_requests() -> None:
    risk = RISK | {"kind": "DemandFraction"}
    itl = {"metric": "itl", "threshold": "50ms"}
    assert "counts tokens" in read({"goals": [itl]}, risk=risk, **PRESET).problem
    older = read({"metric": "itl_p95", "threshold": "50ms"}, risk=risk, **PRESET)
    assert older.problem == ""
    assert older.unmeasured is not None
    assert older.unmeasured.reason == "CountsTokens"
    assert goals_of(read({"goals": [itl]}, **PRESET)) == {"itl": 0.05}


def test_a_threshold_below_every_bucket_names_the_nearest_and_measures_nothing() -> None:
    goals = [TTFT | {"threshold": "0.5ms"}, TPOT]
    found = read({"goals": goals}, **PRESET)
    assert found.unmeasured is not None
    assert found.unmeasured.message.startswith(
        "no bucket of vllm:time_to_first_token_seconds is at or below 0.5ms: its first is 1ms: "
    )
    assert goals_of(found) == {"ttft": 0.0005, "tpot": 0.05}
    assert queries_of(found) == {}


def test_a_threshold_between_two_edges_is_noted() -> None:
    found = read({"goals": [TTFT | {"threshold": "700ms"}]}, **PRESET)
    assert found.unmeasured is None
    assert found.objective_note.startswith("ttft: 700ms lies between 500ms and 750ms")
    assert "sli_ttft_upto" in queries_of(found)


def test_the_class_has_the_default() -> None:
    of_class = {"goals": [TTFT], "share": "0.9"}
    found = read(None, of_class=of_class, **PRESET)
    assert (goals_of(found), objective_of(found).share) == ({"ttft": 0.5}, 0.9)
    own = read({"goals": [TPOT]}, of_class=of_class, **PRESET)
    assert (goals_of(own), objective_of(own).share) == ({"tpot": 0.05}, 0.95)
    older = read({"metric": "uptime", "threshold": "1"}, of_class=of_class, **PRESET)
    assert older.spec is not None
    assert older.spec.sla.objective is None


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ({}, "needs either goals, or one metric"),
        ({"goals": [TTFT], "metric": "ttft", "threshold": "1s"}, "needs either goals"),
        ({"goals": [TTFT], "threshold": "1s"}, "needs either goals"),
        ({"metric": "ttft"}, "needs either goals"),
        ({"metric": "ttft", "threshold": "1s", "share": "0.9"}, "share goes with goals"),
        ({"goals": []}, "goals"),
        ({"goals": [TTFT, TTFT]}, "each metric may be given once"),
        ({"goals": [{"metric": "ttft"}]}, "a latency needs one"),
        ({"goals": [{"metric": "errors", "threshold": "1s"}]}, "errors have none"),
        ({"goals": [TTFT | {"threshold": "0s"}]}, "threshold_s"),
        ({"goals": [TTFT | {"metric": "latency"}]}, "goals.0.metric"),
        ({"goals": [TTFT], "share": "1"}, "share"),
        ({"goals": [TTFT | {"goodQuery": "x"}]}, "goodQuery and totalQuery"),
        ({"goals": [{"metric": "errors", "goodQuery": "x"}]}, "goodQuery and totalQuery"),
    ],
)
def test_goals_that_contradict_themselves_are_a_problem(
    objective: dict[str, Any], words: str
) -> None:
    found = read(objective, **PRESET)
    assert found.spec is None
    assert words in found.problem
    assert "\n" not in found.problem


WITHOUT_NUL = st.characters(exclude_characters="\0")
"""NUL is refused in every text: Postgres keeps it in none."""


@given(st.text(WITHOUT_NUL, min_size=1, max_size=63), st.text(WITHOUT_NUL, min_size=1, max_size=32))
def test_no_older_form_was_ever_refused(metric: str, threshold: str) -> None:
    found = read({"metric": metric, "threshold": threshold})
    assert found.spec is not None
    assert found.problem == ""


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, "arrives"),
        (PRESET, "served"),
        (PRESET | {"demandCounts": "Arrivals"}, "arrives"),
        ({"demandCounts": "Served"}, "served"),
        ({"indicators": None, "indicatorsFrom": ["tgi"]}, "arrives"),
        (PRESET | {"indicators": [{"name": "request_rate_rps", "level": 1}]}, "arrives"),
    ],
)
def test_what_the_demand_counts(changes: dict[str, Any], counts: str) -> None:
    spec = read(None, **changes).spec
    assert spec is not None
    assert spec.demand_counts == counts


def test_a_class_whose_goal_is_too_long_is_named() -> None:
    found = read(None, of_class={"goals": [TTFT | {"threshold": "2d"}]})
    named = "sla.class='gold': its objective.goals[ttft].threshold='2d' must be at most 1d"
    assert (found.spec, found.problem) == (None, named)
