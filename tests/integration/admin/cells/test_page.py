"""The page of cells, and who finds it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.clusters import add_cluster, set_total
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.console.test_clusters import log_in
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_the_page_shows_every_cell_that_the_visitor_may_see(
    anonymous: AppClient, database: Engine
) -> None:
    log_in(anonymous, database, None)
    assert "/cells" not in anonymous.get("/").text, "there is one"
    with database.begin() as connection:
        add_cluster(connection, "other", NOW)
        set_total(connection, "H100", 40, NOW)
        connection.execute(
            text("INSERT INTO cell_budgets VALUES (2, 'H100', 17, 3, 1.5, :now)"), {"now": NOW}
        )
    assert 'href="/cells?cluster=default"' in anonymous.get("/").text
    page = anonymous.get("/cells?cluster=default").text
    for shown in ("default", "other", "never seen", "17<small>of a total</small>"):
        assert shown in page, shown
