"""Specs of workloads that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.registration.rest_workload import BODY, SPEC, rows, send

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_what_the_document_shows_as_an_example_is_taken(admin: AppClient) -> None:
    document = admin.get("/openapi.json").json()
    shown = {}
    for path, methods in document["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref")
        if reference and "{" not in path:
            schema = document["components"]["schemas"][reference.rpartition("/")[2]]
            shown[path] = schema["examples"][0]
    assert "/v1/workloads" in shown
    for path, body in shown.items():
        answer = send(admin, "POST", path, body)
        # what it names (a workload, a namespace) need not be here
        assert answer.status_code in {200, 201, 202, 404}, f"{path}: {answer.text}"
    assert send(admin, "POST", "/v1/workloads", shown["/v1/workloads"]).status_code == 409


GOAL = {"metric": "ttft", "threshold_s": 0.5}
COUNTS = [{"name": "sli_ttft_total"}, {"name": "sli_ttft_good", "query": "sum(rate(x[$step]))"}]


def objective(**changes: Any) -> dict[str, Any]:
    return {"sla": {"objective": {"goals": [GOAL], "series": COUNTS} | changes}}


def test_an_objective_is_taken_and_shown(admin: AppClient) -> None:
    spec = SPEC | objective(share=0.9) | {"demand_counts": "served"}
    assert send(admin, "POST", "/v1/workloads", BODY | {"spec": spec}).status_code == 201
    shown = admin.get("/v1/workloads/lab/chat/spec").json()["spec"]
    assert shown["demand_counts"] == "served"
    assert shown["sla"]["objective"] == {
        "goals": [GOAL],
        "share": 0.9,
        "series": [
            COUNTS[0] | {"query": "", "edge_s": None},
            COUNTS[1] | {"edge_s": None},
        ],
    }


def bound_by(*loads: dict[str, Any]) -> dict[str, Any]:
    return {"capacity": {"per_replica": 900, "also_bound_by": list(loads)}}


LOAD = {"indicator": "queue_requests", "per_replica": 40.0}


def test_further_loads_are_taken_and_shown(admin: AppClient) -> None:
    spec = SPEC | bound_by(LOAD | {"counts": "served"})
    assert send(admin, "POST", "/v1/workloads", BODY | {"spec": spec}).status_code == 201
    shown = admin.get("/v1/workloads/lab/chat/spec").json()["spec"]["capacity"]
    assert shown["also_bound_by"] == [LOAD | {"counts": "served"}]
    assert admin.get("/v1/workloads/lab/chat").json()["further_loads"] == [
        LOAD | {"unit": "", "counts": "served"}
    ]


NIGHT = {"name": "night", "start_time": "22:00", "end_time": "06:00", "min_replicas": 2}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "Auto"}, "/spec/mode"),
    ({"demand": "nothing_rps"}, "/spec"),
    ({"indicators": []}, "/spec/indicators"),
    ({"indicators": SPEC["indicators"] * 2}, "/spec"),
    (
        {"indicators": [SPEC["indicators"][0] | {"unit": "t\x9b2J/s"}, SPEC["indicators"][1]]},
        "/spec/indicators/0/unit",
    ),
    (
        {"indicators": [SPEC["indicators"][0] | {"unit": "s\u202e/t"}, SPEC["indicators"][1]]},
        "/spec/indicators/0/unit",
    ),
    ({"min_replicas": 13}, "/spec"),
    ({"max_replicas": 100_001}, "/spec/max_replicas"),
    ({"capacity": {"per_replica": 0}}, "/spec/capacity/per_replica"),
    ({"capacity": {"per_replica": 1e300}}, "/spec/capacity/per_replica"),
    ({"capacity": {"per_replica": 9, "latency_indicator": "x_ms"}}, "/spec/capacity"),
    (bound_by(LOAD, LOAD), "/spec"),
    (bound_by(LOAD | {"indicator": "nothing_rps"}), "/spec"),
    (bound_by(LOAD | {"indicator": "output_tokens_per_s"}), "/spec"),
    (bound_by(LOAD | {"per_replica": 0}), "/spec/capacity/also_bound_by/0/per_replica"),
    (bound_by(LOAD | {"counts": "Served"}), "/spec/capacity/also_bound_by/0/counts"),
    (bound_by(*[LOAD] * 4), "/spec/capacity/also_bound_by"),
    ({"sla": {"epsilon": 1}}, "/spec/sla/epsilon"),
    ({"sla": {"priority": 2**40}}, "/spec/sla/priority"),
    (objective(goals=[]), "/spec/sla/objective/goals"),
    (objective(goals=[GOAL | {"metric": "latency"}]), "/spec/sla/objective/goals/0/metric"),
    (objective(goals=[{"metric": "ttft"}]), "/spec/sla/objective/goals/0"),
    (objective(goals=[GOAL, GOAL]), "/spec/sla/objective"),
    (objective(series=[{"name": "sli_tpot_good"}]), "/spec/sla/objective"),
    (objective(series=[{"name": "lost"}]), "/spec/sla/objective/series/0/name"),
    (objective(share=1), "/spec/sla/objective/share"),
    (
        {"sla": {"kind": "DemandFraction", "objective": {"goals": [GOAL | {"metric": "itl"}]}}},
        "/spec/sla",
    ),
    ({"gpu_type": "H\u0000"}, "/spec/gpu_type"),
    ({"labels": {"a": "b\u0000"}}, "/spec/labels/a"),
    ({"labels": {f"k{i}": "v" for i in range(65)}}, "/spec/labels"),
    ({"schedules": [{"name": "x", "start_time": "8", "end_time": "9"}]}, "/spec/schedules/0/"),
    ({"schedules": [NIGHT, NIGHT | {"min_replicas": 3}]}, "/spec/schedules"),
    ({"price_usd_per_gpu_hour": -1}, "/spec/price_usd_per_gpu_hour"),
]


@pytest.mark.parametrize(("changes", "pointer"), WRONG)
def test_a_wrong_field_is_named(
    admin: AppClient, database: Engine, changes: dict[str, Any], pointer: str
) -> None:
    answer = send(admin, "POST", "/v1/workloads", BODY | {"spec": SPEC | changes})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"][0]["pointer"].startswith(pointer), answer.text
    assert rows(database) == []


def test_a_promise_about_windows_is_refused_where_paths_decide(admin: AppClient) -> None:
    sla = {"kind": "AnyInWindow", "epsilon": 0.05, "window_s": 86_400}
    felt = {"sla": sla | {"objective": {"goals": [GOAL]}}}
    for changes, field in (
        (felt, "an objective"),
        (bound_by(LOAD) | {"sla": sla}, "further loads"),
    ):
        answer = send(admin, "POST", "/v1/workloads", BODY | {"spec": SPEC | changes})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert answer.json()["errors"][0]["pointer"] == "/spec/sla/kind"
        assert f"sla.kind='AnyInWindow' with {field}" in answer.text
        assert "state kind TimeFraction or DemandFraction" in answer.text
    plain = send(admin, "POST", "/v1/workloads", BODY | {"spec": SPEC | {"sla": sla}})
    assert plain.status_code == 201, plain.text


@pytest.mark.parametrize("name", ["", "Chat", "a/b", "-a", "x" * 254, "a\u0000", "ä"])
def test_a_name_must_be_one_of_kubernetes(admin: AppClient, name: str) -> None:
    answer = send(admin, "POST", "/v1/workloads", BODY | {"name": name})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/name"
