"""Showback over REST: JSON, CSV, rights, and what is refused."""

from __future__ import annotations

import csv
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from sqlalchemy import Engine, text

from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient, bearer
from tests.integration.admin.seeded_fleet import NOW
from tests.integration.admin.showback.costs import FROM, TO, seed_teams

pytestmark = pytest.mark.integration
ASKED = f"from_at={FROM:%Y-%m-%dT%H:%M:%SZ}&to_at={TO:%Y-%m-%dT%H:%M:%SZ}"


def test_dollars_per_team_are_the_sums_of_sql(viewer: AppClient, database: Engine) -> None:
    seed_teams(database)
    found = viewer.get(f"/v1/showback?by=label=team&{ASKED}").json()
    with database.connect() as connection:
        query = text(
            "SELECT sum(CAST(cost_usd AS numeric)), sum(CAST(gpu_hours AS numeric)) FROM outcomes"
        )
        cost, hours = connection.execute(query).one()
    assert (found["cost_usd"], found["gpu_hours"]) == (float(cost), float(hours))
    assert [team["team"] for team in found["teams"]] == ["chat", "search", None]
    assert [team["n_workloads"] for team in found["teams"]] == [2, 1, 1]
    assert found["teams"][2]["cost_usd"] == 30.0
    assert found["unmeasured_hours"] == pytest.approx((21 + 12) / 12)
    assert found["by"] == "label=team"


def test_the_csv_has_every_digit(viewer: AppClient, database: Engine) -> None:
    seed_teams(database)
    answer = viewer.get(f"/v1/showback.csv?by=label=team&{ASKED}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(StringIO(answer.text)))
    assert [row["team"] for row in rows] == ["chat", "search", "(no label)"]
    with database.connect() as connection:
        query = text("SELECT sum(CAST(cost_usd AS numeric)) FROM outcomes")
        total = connection.execute(query).scalar_one()
    assert sum(Decimal(row["cost_usd"]) for row in rows) == total


def test_without_times_it_is_the_last_week(viewer: AppClient, database: Engine) -> None:
    seed_teams(database)
    found = viewer.get("/v1/showback").json()
    assert (found["from_at"], found["to_at"]) == ("2025-12-30T12:00:00Z", "2026-01-06T12:00:00Z")
    assert [team["team"] for team in found["teams"]] == ["lab", "prod"]


def test_hours_to_come_are_none_of_unknown_cost(viewer: AppClient, database: Engine) -> None:
    """As of a month that is not over yet."""
    seed_teams(database)
    until = TO + timedelta(days=20)
    asked = f"from_at={FROM:%Y-%m-%dT%H:%M:%SZ}&to_at={until:%Y-%m-%dT%H:%M:%SZ}"
    found = viewer.get(f"/v1/showback?{asked}").json()
    assert found["to_at"] == f"{until:%Y-%m-%dT%H:%M:%SZ}"
    assert found["unmeasured_hours"] == pytest.approx((21 + 12) / 12)
    asked = f"from_at={until:%Y-%m-%dT%H:%M:%SZ}&to_at=2026-03-01T00:00:00Z"
    assert viewer.get(f"/v1/showback?{asked}").json()["unmeasured_hours"] == 0.0


def test_what_is_known_of_nothing_is_null_and_empty(viewer: AppClient) -> None:
    found = viewer.get("/v1/showback").json()
    assert (found["teams"], found["cost_usd"], found["unmeasured_hours"]) == ([], None, 0.0)
    header = "team,n_workloads,gpu_hours,cost_usd,unmeasured_hours\n"
    assert viewer.get("/v1/showback.csv").text == header


def test_a_caller_of_a_namespace_sees_its_dollars_only(
    anonymous: AppClient, database: Engine
) -> None:
    seed_teams(database)
    with database.begin() as connection:
        token = create_key(connection, "lab", Role.VIEWER, NOW, None, ["lab"]).token
    found = anonymous.get(f"/v1/showback?{ASKED}", headers=bearer(token)).json()
    assert [team["team"] for team in found["teams"]] == ["lab"]
    other = anonymous.get("/v1/showback?namespace=prod", headers=bearer(token))
    assert other.status_code in (403, 404)
    assert anonymous.get("/v1/showback").status_code == 401


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("by=team", "by='team' must be namespace, or label=NAME"),
        ("by=label=", "by='label=' must be namespace, or label=NAME"),
        ("from_at=2026-02-01T00:00:00Z", "must not be after"),
        ("from_at=2025-06-01T00:00:00Z", "219 days until"),
        ("format=csv", "format"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/showback", "/v1/showback.csv"])
def test_what_cannot_be_used_is_named(viewer: AppClient, path: str, query: str, said: str) -> None:
    answer = viewer.get(f"{path}?{query}")
    assert answer.status_code == 422
    assert said in answer.text
