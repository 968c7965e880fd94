"""Beliefs of the decider, as quantiles of their draws."""

from __future__ import annotations

import struct

import pytest
from sqlalchemy import Engine, insert, select

from services.kernel.db import schema
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_posteriors_show_quantiles_of_their_draws(admin: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        query = select(schema.workloads.c.id).where(schema.workloads.c.name == "sdxl-turbo")
        workload = connection.execute(query).scalar_one()
        blank = {
            "status": "promoted",
            "n_observations": 4,
            "summary": {},
            "diagnostics": {"rhat": 1.0},
            "fitted_at": NOW,
        }
        draws = struct.pack("<5f", 10.0, 20.0, 30.0, 40.0, 50.0)
        rows = [
            {"kind": "lead_time", "scope": f"workload:{workload}", "draws": draws},
            {"kind": "response", "scope": f"workload:{workload}", "draws": draws * 2},
            {"kind": "capacity", "scope": "gpu_type:H100", "draws": None},
        ]
        for row in rows:
            connection.execute(insert(schema.posteriors).values(blank | row))
    items = admin.get("/v1/posteriors").json()["items"]
    assert [(i["kind"], i["workload"]) for i in items] == [
        ("capacity", None),
        ("response", "sdxl-turbo"),
        ("lead_time", "sdxl-turbo"),
    ]
    lead = admin.get(f"/v1/posteriors/{items[2]['id']}").json()
    assert (lead["n_draws"], lead["quantities"]) == (5, ["lead_time_s"])
    assert lead["quantiles"]["0.5"] == [30.0]
    assert lead["quantiles"]["0.9"] == [46.0]
    response = admin.get(f"/v1/posteriors/{items[1]['id']}").json()
    assert (response["n_draws"], len(response["quantities"])) == (2, 5)
    assert response["quantiles"]["0.5"] == [10.0, 20.0, 30.0, 40.0, 50.0]
    assert admin.get(f"/v1/posteriors/{items[0]['id']}").json()["n_draws"] is None
    page = admin.get("/v1/posteriors", params={"limit": 2}).json()
    rest = admin.get("/v1/posteriors", params={"cursor": page["next_cursor"]}).json()
    assert page["items"] + rest["items"] == items
    filtered = admin.get("/v1/posteriors", params={"kind": "response"}).json()["items"]
    assert filtered == [items[1]]
    for name in ("kind", "status"):
        refused = admin.get("/v1/posteriors", params={name: "nope"})
        assert refused.status_code == 422
        assert name in str(refused.json()["errors"])
    assert admin.get("/v1/posteriors/999").status_code == 404


def test_a_response_to_several_loads_shows_what_is_of_each(
    admin: AppClient, database: Engine
) -> None:
    row = {
        "kind": "misses", "scope": "workload:1", "status": "promoted", "n_observations": 9,
        "summary": {"learned_for": {"further": ["output_tokens_per_s"]}}, "diagnostics": {},
        "fitted_at": NOW, "draws": struct.pack("<6f", 10.0, 12.0, 0.5, 60.0, 2.0, 200.0) * 2,
    }  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(schema.posteriors).values(row))
    (item,) = admin.get("/v1/posteriors", params={"kind": "misses"}).json()["items"]
    found = admin.get(f"/v1/posteriors/{item['id']}").json()
    assert found["quantities"][-2:] == ["sharing_exponent", "half_missed_output_tokens_per_s"]
    assert (found["n_draws"], found["quantiles"]["0.5"][-2:]) == (2, [2.0, 200.0])
