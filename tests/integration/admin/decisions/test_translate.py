"""One decision with what led to it and came of it."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_one_decision_answers_why(viewer) -> None:
    detail = viewer.get("/v1/decisions/100040").json()
    assert detail["workload"] == "llama-70b-chat"
    assert detail["model_version"] == "harmony-flow-3"
    assert detail["explanation"]["guard_trace"][0]["guard"] == "stale_input"
    assert detail["explanation"]["counterfactuals"]["median_forecast"] >= 2
    assert [action["attempt"] for action in detail["actions"]] == [1]
    assert detail["action_result"] == detail["actions"][0]["result"]
    assert len(detail["outcomes"]) == 1
    believed = detail["outcomes"][0]
    assert believed["violation_ratio"] == believed["believed_ratio"] is not None
    assert (believed["measured_ratio"], believed["sli_requests"]) == (None, None)


@pytest.mark.usefixtures("seeded")
def test_an_action_tells_what_was_made_of_each_pool(viewer, database: Engine) -> None:
    parts = '[{"name": "decode", "from": 2, "to": 4, "ratio": 1.0, "is_sure": true}]'
    with database.begin() as connection:
        connection.execute(
            text("UPDATE actions SET parts = CAST(:parts AS jsonb) WHERE decision_id = 100040"),
            {"parts": parts},
        )
    (action,) = viewer.get("/v1/decisions/100040").json()["actions"]
    assert action["parts"] == [
        {"name": "decode", "from_replicas": 2, "to_replicas": 4, "is_sure": True}
    ]
    (other,) = viewer.get("/v1/decisions/200040").json()["actions"]
    assert other["parts"] is None


@pytest.mark.usefixtures("seeded")
def test_an_outcome_that_was_measured_says_of_how_many_requests(viewer) -> None:
    (felt,) = viewer.get("/v1/decisions/200040").json()["outcomes"]
    assert felt["violation_ratio"] == felt["measured_ratio"] == pytest.approx(0.12)
    assert (felt["sli_requests"], felt["is_final"]) == (400, True)
    assert (felt["sli_miss_low"], felt["sli_miss_high"]) == pytest.approx((0.09, 0.12))
    assert felt["believed_ratio"] in (0, 1)


@pytest.mark.usefixtures("seeded")
def test_what_counts_are_expected_to_miss_is_told_where_it_is_known(
    viewer, console, database: Engine
) -> None:
    assert viewer.get("/v1/decisions/200040").json()["expected_misses"] is None
    assert "objective allows" not in console.get("/decisions/200040").text
    known = viewer.get("/v1/decisions/200040").json()["desired_replicas"]
    shares = f'{{"{known}": 0.0312, "{known - 1}": 0.2}}'
    record = f'{{"of": "requests", "by_replicas": {shares}, "floor": 0.0078}}'
    statement = (
        "UPDATE decisions SET explanation = explanation || jsonb_build_object("
        "'expected_misses', CAST(:record AS jsonb)) WHERE id = 200040"
    )
    with database.begin() as connection:
        connection.execute(text(statement), {"record": record})
    assert viewer.get("/v1/decisions/200040").json()["expected_misses"] == {
        "of": "requests",
        "by_replicas": [
            {"replicas": known - 1, "share": 0.2},
            {"replicas": known, "share": 0.0312},
        ],
        "floor": 0.0078,
    }
    page = console.get("/decisions/200040").text
    assert (
        f"20 % of requests would wait longer than the objective allows, or fail; {known}: 3.1 %; "
        "beside these 0.78 % at any count." in page
    )


EDIT = (
    "UPDATE workloads SET updated_at = :at, spec = jsonb_set(spec, '{capacity,per_replica}', "
    "to_jsonb(1.3 * (spec #>> '{capacity,per_replica}')::float)) WHERE name = 'llama-70b-chat'"
)


@pytest.mark.usefixtures("seeded")
def test_an_old_decision_is_explained_by_the_capacity_that_it_had(
    viewer, console, database: Engine
) -> None:
    """The spec is edited afterwards: what ran then carried no more for that."""
    page, kept = "/decisions/100000", "5 replicas carry 9,000 tokens/s"
    assert kept in console.get(page).text
    believed = {"per_replica": 1800.0, "source": "stated", "unit": "tokens/s"}
    with database.begin() as connection:
        connection.execute(text(EDIT), {"at": NOW})
    after = viewer.get("/v1/decisions/100000").json()
    assert (after["capacity_per_replica"], after["capacity_source"]) == (None, None)
    assert "replicas carry" not in console.get(page).text, "nothing tells what the spec was"
    with database.begin() as connection:
        statement = "UPDATE decisions SET explanation = explanation || CAST(:known AS jsonb)"
        connection.execute(text(statement), {"known": json.dumps({"capacity": believed})})
    assert kept in console.get(page).text
    after = viewer.get("/v1/decisions/100000").json()
    assert (after["capacity_per_replica"], after["capacity_source"]) == (1800.0, "stated")
