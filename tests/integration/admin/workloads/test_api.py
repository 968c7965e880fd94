"""The verdict on a workload's model, over the REST API and in the console."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, insert, text

from services.kernel.db import schema
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW, Seeded

pytestmark = pytest.mark.integration

PATH = "/workloads/llm-prod/llama-70b-chat"
REASON = "the model's counts took 12.00 replicas <b>, those of the trailing percentile 9.50"


def judge(database: Engine, *, is_trusted: bool) -> None:
    with database.begin() as connection:
        found = text("SELECT id FROM workloads WHERE name = 'llama-70b-chat'")
        values = {
            "workload_id": connection.execute(found).scalar_one(), "is_trusted": is_trusted,
            "reason": REASON, "scores": {}, "n_looks": 4, "state": {}, "decided_at": NOW,
        }  # fmt: skip
        connection.execute(insert(schema.trust_verdicts).values(values))


@pytest.mark.usefixtures("seeded")
def test_without_a_look_there_is_no_verdict(viewer: AppClient, console: AppClient) -> None:
    assert viewer.get(f"/v1{PATH}").json()["trust"] is None
    page = console.get(PATH)
    assert page.status_code == 200
    assert "rusted" not in page.text


@pytest.mark.parametrize("is_trusted", [True, False])
def test_the_verdict_and_its_reason_are_shown(
    database: Engine, seeded: Seeded, viewer: AppClient, console: AppClient, is_trusted: bool
) -> None:
    judge(database, is_trusted=is_trusted)
    answer = viewer.get(f"/v1{PATH}").json()["trust"]
    assert answer == {
        "is_trusted": is_trusted,
        "reason": REASON,
        "n_looks": 4,
        "decided_at": "2026-01-06T12:00:00Z",
    }
    others = viewer.get("/v1/workloads").json()["items"]
    assert len(others) == seeded.n_workloads
    assert [item["name"] for item in others if item["trust"]] == ["llama-70b-chat"]
    page = console.get(PATH).text
    assert ("Model trusted." in page) is is_trusted
    assert ("Model not trusted: a trailing percentile answers." in page) is not is_trusted
    assert "12.00 replicas &lt;b&gt;, those of the trailing percentile 9.50" in page
