"""The table of clusters, and the column of whatever is of one."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, SmallInteger, Table, Text, text

from services.kernel.db.metadata import metadata, time_column

SHARDS_PER_CLUSTER = 2**20
"""Shards of a cluster have numbers from (its id - 1) times this on: a shard is of one cluster."""


def cluster_column(*, primary_key: bool = False, nullable: bool = False) -> Column[object]:
    """The cluster that a row is of; by default the first, for writers that know of none."""
    return Column(
        "cluster_id",
        SmallInteger,
        ForeignKey("clusters.id"),
        primary_key=primary_key,
        autoincrement=False,
        nullable=nullable,
        server_default=text("1"),
    )


clusters = Table(
    "clusters",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    time_column("created_at"),
    time_column("operator_seen_at", nullable=True),
)
