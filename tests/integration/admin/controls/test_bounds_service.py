"""What a key of one namespace may raise where a GPU budget is shared with the others."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient, bearer
from tests.integration.admin.llama_api import LLAMA, SHIFT, count, patch
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
ANY = {"If-Match": "*"}


@pytest.fixture
def team(anonymous: AppClient, database: Engine) -> AppClient:
    """A client with an operator's key of llama-70b-chat's namespace alone."""
    with database.begin() as connection:
        key = create_key(connection, "team", Role.OPERATOR, NOW, None, ["llm-prod"])
    anonymous.headers.update(bearer(key.token))
    return anonymous


def planned(client: AppClient, *schedules: dict[str, Any]) -> Any:
    body = {"schedules": list(schedules)}
    return client.request("PUT", f"{LLAMA}/schedules", json=body, headers=ANY)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"min_replicas": 20}, "min_replicas=20 must be <= 2 for a key of some namespaces"),
        (
            {"min_replicas": 90_000, "max_replicas": 100_000},
            "min_replicas=90000 must be <= 2 for a key of some namespaces",
        ),
        ({"price_usd_per_gpu_hour": 1000.0}, "price_usd_per_gpu_hour=1000 must be <= "),
    ],
)
def test_a_key_of_a_namespace_takes_no_gpus_from_the_others(
    team: AppClient, admin: AppClient, database: Engine, change: dict[str, Any], told: str
) -> None:
    """A minimum outranks what others need, and a price weighs what is lost without GPUs."""
    refused = patch(team, change, **ANY)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert told in refused.json()["detail"]
    assert "while H100 has a GPU budget" in refused.json()["detail"]
    assert count(database, "workload_controls") == 0
    assert patch(admin, change, **ANY).status_code == 200


def test_what_takes_nothing_from_others_is_the_namespaces_own(
    team: AppClient, admin: AppClient
) -> None:
    for change in ({"min_replicas": 1}, {"max_replicas": 60}, {"price_usd_per_gpu_hour": 0.5}):
        assert patch(team, change, **ANY).status_code == 200
    assert patch(team, {"min_replicas": 2}, **ANY).status_code == 200, "as the object says"
    assert patch(admin, {"min_replicas": 9}, **ANY).status_code == 200
    assert patch(team, {"max_replicas": 30}, **ANY).status_code == 200, "it stood there before"
    assert patch(team, {"min_replicas": 8}, **ANY).status_code == 200
    assert patch(team, {"min_replicas": 9}, **ANY).status_code == 403


def test_nor_does_a_schedule(team: AppClient, admin: AppClient) -> None:
    refused = planned(team, SHIFT)
    assert refused.status_code == 403
    assert "min_replicas=4 of schedule 'day' must be <= 2" in refused.json()["detail"]
    low = SHIFT | {"min_replicas": 2}
    assert planned(team, low).status_code == 200
    assert planned(admin, SHIFT).status_code == 200
    night = {"name": "night", "start_time": "22:00", "end_time": "06:00", "freeze": "ScaleDown"}
    assert planned(team, SHIFT, night).status_code == 200, "it stood there before"
    assert planned(team, SHIFT | {"end_time": "23:00"}, night).status_code == 403


@pytest.mark.parametrize("budget", ["H100", "*"])
def test_it_holds_for_the_types_that_a_budget_is_of(
    team: AppClient, database: Engine, budget: str
) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE gpu_budgets SET gpu_type = 'L4'"))
    assert patch(team, {"min_replicas": 3}, **ANY).status_code == 200
    with database.begin() as connection:
        connection.execute(text("UPDATE gpu_budgets SET gpu_type = :t"), {"t": budget})
    assert patch(team, {"min_replicas": 4}, **ANY).status_code == 403
