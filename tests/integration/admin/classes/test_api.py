"""SLA classes: promised and kept."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_rows import MISS_EVERY, MISS_HIGH

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_sla_classes_show_what_is_promised_and_kept(admin: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{sla,sla_class}', '\"gold\"') "
                "WHERE name = 'sdxl-turbo'"
            )
        )
    gold, silver = admin.get("/v1/sla-classes").json()["items"]
    assert (gold["name"], gold["priority"], gold["n_workloads"]) == ("gold", 200, 1)
    assert (silver["name"], silver["priority"], silver["n_workloads"]) == ("silver", 100, 2)
    assert silver["epsilon_min"] == silver["epsilon_max"] == 0.01
    assert (silver["n_steps"], silver["n_measured_steps"], silver["n_measured"]) == (96, 48, 1)
    assert silver["measured_ratio"] == pytest.approx(MISS_HIGH / MISS_EVERY)
    assert 0 <= silver["believed_ratio"] <= 1
    assert (gold["n_measured"], gold["measured_ratio"]) == (0, None)
    assert gold["violation_ratio"] == gold["believed_ratio"]
    assert admin.get("/v1/sla-classes/gold").json() == gold
    assert admin.get("/v1/sla-classes/bronze").status_code == 404
    page = admin.get("/v1/sla-classes", params={"limit": 1}).json()
    rest = admin.get("/v1/sla-classes", params={"cursor": page["next_cursor"]}).json()
    assert [page["items"], rest["items"]] == [[gold], [silver]]
