"""The table of where the GPUs of each type come from."""

from __future__ import annotations

from sqlalchemy import REAL, Column, Integer, Table, Text, text

from services.kernel.db.metadata import metadata, time_column
from services.kernel.db.schema_clusters import cluster_column

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
)
