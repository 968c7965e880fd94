"""The names of the clusters, remembered for a while."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.admin.clusters import KnownClusters
from services.kernel.db.clusters import add_cluster
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("ttl_s", "seen"), [(0.0, ("default", "eu")), (1e6, ("default",))])
def test_names_are_asked_for_again_after_a_while(
    database: Engine, ttl_s: float, seen: tuple[str, ...]
) -> None:
    known = KnownClusters(database, ttl_s)
    assert known.names() == ("default",)
    with database.begin() as connection:
        add_cluster(connection, "eu", NOW)
    assert known.names() == seen
