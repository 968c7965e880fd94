"""GPU budgets over the REST API and in the console, on a real database."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import BASE_URL, AppClient
from tests.integration.admin.budgets.budget_rows import STEP, Fleet, one
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


def test_without_budgets_the_list_is_empty_and_one_is_not_found(
    viewer: AppClient, fleet: Fleet
) -> None:
    fleet.add("w", 4)
    assert viewer.get("/v1/budgets").json() == {"items": [], "next_cursor": None}
    answer = viewer.get("/v1/budgets/H100")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "'H100' has no budget; GET /v1/budgets" in answer.json()["detail"]


def test_a_budget_of_a_resource_has_a_slash_in_its_name(viewer: AppClient, fleet: Fleet) -> None:
    fleet.budget("amd.com/gpu", 8)
    answer = viewer.get("/v1/budgets/amd.com/gpu")
    assert (answer.status_code, answer.json()["gpu_type"]) == (200, "amd.com/gpu")


def test_who_gave_up_what_at_the_newest_decisions(viewer: AppClient, fleet: Fleet) -> None:
    gold = fleet.add("gold", 13, sla={"sla_class": "gold"})
    gang = fleet.add("gang", 2, gpus_per_replica=4, sla={"sla_class": "own", "priority": 30})
    calm, lapsed = fleet.add("calm", 4), fleet.add("lapsed", 4)
    fleet.budget("H100", 25)
    fleet.decide(gold, 40, 13, NOW - STEP)  # not the newest
    fleet.decide(gold, 17, 13)
    cut = fleet.decide(gang, 5, 2)
    fleet.decide(calm, 4, 4)
    fleet.decide(lapsed, 30, 4, NOW - 3 * STEP)  # no longer valid
    found = one(viewer)
    assert found["n_cut"] == 2
    assert [(g["workload"], g["wanted_replicas"], g["granted_replicas"], g["gpus"], g["sla_class"],
             g["priority"]) for g in found["gave_up"]] == [
        ("gang", 5, 2, 12, "own", 30),
        ("gold", 17, 13, 4, "gold", 200),
    ]  # fmt: skip
    first = found["gave_up"][0]
    assert (first["decision_id"], first["namespace"]) == (cut, "demo")
    assert (first["reason"], first["price_usd_per_gpu_hour"]) == ("hold_gpu_budget", 4.5)
    assert viewer.get(f"/v1/decisions/{cut}").status_code == 200


def test_the_list_names_those_that_gave_up_most(viewer: AppClient, fleet: Fleet) -> None:
    for n in range(12):
        fleet.decide(fleet.add(f"w{n:02}", 1), 2 + n, 1)
    fleet.budget("H100", 25)
    (found,) = viewer.get("/v1/budgets").json()["items"]
    assert (found["n_cut"], len(found["gave_up"])) == (12, 10)
    assert [g["workload"] for g in found["gave_up"]][:2] == ["w11", "w10"]
    assert len(one(viewer)["gave_up"]) == 12


def test_how_many_were_cut_is_said_to_those_who_see_none_of_them(
    anonymous: AppClient, viewer: AppClient, fleet: Fleet
) -> None:
    fleet.budget("H100", 25)
    for n in range(3):
        fleet.decide(fleet.add(f"w{n}", 1), 2 + n, 1)
    with fleet.engine.begin() as connection:
        statement = "UPDATE workloads SET namespace = 'own' WHERE name = 'w0'"
        connection.execute(text(statement))
        tokens = [
            create_key(connection, name, Role.VIEWER, NOW, None, [name]).token
            for name in ("own", "none")
        ]
    assert one(viewer)["n_cut"] == 3
    for token, named in zip(tokens, (["w0"], []), strict=True):
        headers = {"Authorization": f"Bearer {token}"}
        found = anonymous.get("/v1/budgets/H100", headers=headers).json()
        assert (found["n_cut"], [one["workload"] for one in found["gave_up"]]) == (3, named)


def test_a_decision_names_nobody_of_other_namespaces(
    anonymous: AppClient, viewer: AppClient, fleet: Fleet
) -> None:
    """Its budget is shared with all of them, and who gave up most is stored with each decision."""
    lost = {"class": "gold", "priority": 200, "wanted": 17, "granted": 13, "gpus": 4}
    gave_up = [lost | {"workload": f"{name}/w"} for name in ("demo", "secret-plans")]
    own = fleet.decide(fleet.add("w", 1), 17, 13, n_cut=2, gave_up=gave_up)
    with fleet.engine.begin() as connection:
        token = create_key(connection, "demo", Role.VIEWER, NOW, None, ["demo"]).token
    headers = {"Authorization": f"Bearer {token}"}
    found = anonymous.get(f"/v1/decisions/{own}", headers=headers)
    budget = found.json()["explanation"]["gpu_budget"]
    assert "secret-plans" not in found.text
    assert [one["workload"] for one in budget["gave_up"]] == ["demo/w"]
    assert (budget["n_cut"], budget["n_unseen"]) == (2, 1)
    form = {"Origin": BASE_URL, "Accept": "text/html"}
    assert anonymous.post("/login", data={"key": token}, headers=form).status_code == 303
    page = anonymous.get(f"/decisions/{own}", headers=form).text
    assert "secret-plans" not in page
    assert "2 workloads decided on together got less than wanted; 1 of them in name" in page
    assert "secret-plans" in viewer.get(f"/v1/decisions/{own}").text


def test_what_was_made_over_rest_uses_nothing_of_a_budget(viewer: AppClient, fleet: Fleet) -> None:
    fleet.budget("H100", 25)
    fleet.add("own", 4)
    told = fleet.add("told", 1000, gpus_per_replica=64)
    with fleet.engine.begin() as connection:
        statement = "UPDATE workloads SET managed_by = 'api' WHERE id = :id"
        connection.execute(text(statement), {"id": told})
    found = one(viewer)
    assert (found["n_workloads"], found["used_gpus"], found["free_gpus"]) == (1, 4, 21)


def test_what_is_free_heeds_the_part_of_a_total_over_the_cells(
    viewer: AppClient, fleet: Fleet
) -> None:
    fleet.budget("H100", 25)
    fleet.add("w", 4)
    assert (one(viewer)["cell_gpus"], one(viewer)["free_gpus"]) == (None, 21)
    with fleet.engine.begin() as connection:
        connection.execute(text("INSERT INTO cell_totals VALUES ('H100', 40, :at)"), {"at": NOW})
    assert (one(viewer)["cell_gpus"], one(viewer)["free_gpus"]) == (None, None), "not shared yet"
    with fleet.engine.begin() as connection:
        statement = "INSERT INTO cell_budgets VALUES (1, 'H100', 5, 3, NULL, :at)"
        connection.execute(text(statement), {"at": NOW})
    assert (one(viewer)["cell_gpus"], one(viewer)["free_gpus"]) == (5, 1)
