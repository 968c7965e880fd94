"""Lists by namespace and label."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_lists_filter_by_namespace_and_label(viewer: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = spec || CAST(:more AS jsonb) "
                "WHERE name = 'mixtral-agents'"
            ),
            {"more": '{"labels": {"team": "chat"}}'},
        )
    for path in ("/v1/decisions", "/v1/actions", "/v1/outcomes"):
        labelled = viewer.get(path, params={"label": "team=chat", "limit": 500}).json()["items"]
        assert {item["workload"] for item in labelled} == {"mixtral-agents"}, path
        assert len(labelled) == 48
        of_one = viewer.get(path, params={"namespace": "diffusion"}).json()["items"]
        assert {item["namespace"] for item in of_one} == {"diffusion"}
    fleet = viewer.get("/v1/workloads", params={"label": "team=chat"}).json()["items"]
    assert [item["name"] for item in fleet] == ["mixtral-agents"]
    hostile = {"label": "team=' OR true --"}
    assert viewer.get("/v1/workloads", params=hostile).json()["items"] == []
