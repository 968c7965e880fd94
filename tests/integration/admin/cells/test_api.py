"""Who sees which cells over REST."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.kernel.db.clusters import add_cluster
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient, bearer
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_a_key_sees_the_cells_in_which_it_has_a_role(
    anonymous: AppClient, database: Engine
) -> None:
    with database.begin() as connection:
        add_cluster(connection, "other", NOW)
        tokens = {
            id_: create_key(connection, "k", Role.VIEWER, NOW, None, names, id_).token
            for id_, names in ((1, ["llm-prod"]), (2, None), (None, None))
        }
    for id_, clusters in ((1, ["default"]), (2, ["other"]), (None, ["default", "other"])):
        page = anonymous.get("/v1/cells", headers=bearer(tokens[id_])).json()
        assert [cell["cluster"] for cell in page["items"]] == clusters
        assert "llama" not in str(page), "no workload is named"
    one = anonymous.get("/v1/cells?cluster=other", headers=bearer(tokens[None])).json()
    assert [cell["cluster"] for cell in one["items"]] == ["other"]
    assert anonymous.get("/v1/cells?cluster=other", headers=bearer(tokens[1])).status_code == 403
