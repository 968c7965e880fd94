"""What is measured and what is left of a promise: the same figures wherever they are read."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.operator.reconcile.report_statuses import to_details
from services.operator.reconcile.repository import load_details
from services.platform.repository import load_status, load_workload_ids
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_rest_console_status_and_command_line_agree(viewer, database: Engine) -> None:
    found = {}
    for item in viewer.get("/v1/workloads").json()["items"]:
        risk = item["risk"]
        found[f"{item['namespace']}/{item['name']}"] = (risk["measured"], risk["budget_remaining"])
    assert len(set(found.values())) == 3, "a mix-up would be seen"
    ids = load_workload_ids(database)
    with database.connect() as connection:
        details = {
            row["workload_id"]: to_details(row)
            for row in load_details(connection, list(ids.values()), NOW)
        }
    lines = {row["workload"]: row["measured"] for row in load_status(database)}
    for name, (measured, left) in found.items():
        one = details[ids[name]]
        assert (one.measured, one.budget_left) == pytest.approx((measured, left), rel=1e-6)
        assert lines[name] == pytest.approx(measured, abs=5e-5)
