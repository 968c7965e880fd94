"""The column of whatever is of a cluster."""

from __future__ import annotations

from services.kernel.db.schema import metadata
from services.kernel.db.schema_clusters import SHARDS_PER_CLUSTER, cluster_column


def test_writers_that_know_of_no_cluster_write_to_the_first() -> None:
    for column in (cluster_column(), cluster_column(nullable=True)):
        assert str(column.server_default.arg) == "1"  # type: ignore[union-attr]
    assert not cluster_column().nullable


def test_whatever_names_a_namespace_is_of_a_cluster() -> None:
    named = {
        t.name for t in metadata.tables.values() if {"namespace", "namespaces"} & {*t.c.keys()}
    }
    assert named == {"workloads", "freezes", "api_keys"}
    for name in named:
        assert "cluster_id" in metadata.tables[name].c


def test_shards_of_the_last_cluster_fit_their_column() -> None:
    assert SHARDS_PER_CLUSTER * 2047 < 2**31
