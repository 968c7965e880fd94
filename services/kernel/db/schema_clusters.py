"""The table of clusters, the column of whatever is of one, and what each says of its GPUs."""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

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

gpu_supply = Table(
    "gpu_supply",
    metadata,
    cluster_column(primary_key=True),
    Column("gpu_type", Text, primary_key=True),
    Column("ceiling", Integer, nullable=True),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("node_gpus", Integer, nullable=False),
    Column("asked_gpus", Integer, nullable=False),
    Column("startup_median_s", REAL, nullable=False),
    Column("startup_sigma", REAL, nullable=False),
    Column("n_startups", Integer, nullable=False),
    Column("n_refused", Integer, nullable=False),
    time_column("refused_at", nullable=True),
    time_column("retry_at", nullable=True),
    time_column("attempted_at", nullable=True),
    time_column("settled_at", nullable=True),
    Column("refusal", Text, nullable=False, server_default=text("''")),
    time_column("observed_at"),
    Column("gpus_per_node", Integer, nullable=True),
    Column("headroom_risk", Double, nullable=True),
    Column("headroom_mode", Text, nullable=True),
)

gpu_headroom = Table(
    "gpu_headroom",
    metadata,
    cluster_column(primary_key=True),
    Column("gpu_type", Text, primary_key=True),
    Column("risk", Double, nullable=False),
    Column("need_gpus", Integer, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("chunk_gpus", Integer, nullable=False),
    Column("free_gpus", Integer, nullable=False),
    Column("risk_before", Double, nullable=False),
    Column("risk_after", Double, nullable=False),
    Column("usd_per_hour", Double, nullable=False),
    Column("is_capped", Boolean, nullable=False),
    Column("n_workloads", Integer, nullable=False),
    Column("n_unknown", Integer, nullable=False),
    Column("beyond_ratio", Double, nullable=False),
    Column("dependence", Double, nullable=False),
    Column("n_dependence_steps", Integer, nullable=False),
    time_column("dependence_at"),
    time_column("advised_at"),
)

gpu_interruptions = Table(
    "gpu_interruptions",
    metadata,
    cluster_column(primary_key=True),
    Column("gpu_type", Text, primary_key=True),
    Column("interruptions", Double, nullable=False),
    Column("node_hours", Double, nullable=False),
    Column("noticed_nodes", ARRAY(Text), nullable=False),
    time_column("observed_at"),
)
