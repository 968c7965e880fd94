"""The tables of what is kept up as work goes on, and of what goes before the rest does.

Triggers keep up `coverage_hours` and `gpu_share_marks` (migration 0016) and `workload_absences`
(0037), so every writer is seen.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.kernel.db.metadata import metadata, partition_by, time_column

workload_errors = Table(
    "workload_errors",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("message", Text, nullable=False),
    time_column("since"),
    time_column("last_at"),
)

workload_absences = Table(
    "workload_absences",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    time_column("left_at", primary_key=True),
    time_column("back_at", nullable=True),
)

pod_requests = Table(
    "pod_requests",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("by_pod", JSONB, nullable=False),
    time_column("observed_at"),
)

killed_pods = Table(
    "killed_pods",
    metadata,
    Column("pod_uid", Text, primary_key=True),
    Column("workload_id", Integer, ForeignKey("workloads.id"), nullable=False),
    Column("pod", Text, nullable=False),
    Column("decision_id", BigInteger, nullable=False),
    Column("grace_s", Double, nullable=False),
    Column("requests", Double, nullable=True),
    time_column("told_at"),
    time_column("killed_at"),
    Index(None, "decision_id"),
    Index(None, "workload_id", "killed_at"),
)

coverage_hours = Table(
    "coverage_hours",
    metadata,
    Column("workload_id", Integer, primary_key=True, autoincrement=False),
    time_column("hour_at", primary_key=True),
    Column("n_forecasts", Integer, nullable=False),
    Column("covered", Numeric, nullable=False),
)

gpu_shares = Table(
    "gpu_shares",
    metadata,
    Column("gpu_type", Text, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("policy_version", Text, nullable=False),
    Column("held_gpus", BigInteger, nullable=False),
    Column("demand_gpus", ARRAY(BigInteger), nullable=False),
    Column("seen_in", Text, nullable=False),
    time_column("good_until"),
)

gpu_share_marks = Table(
    "gpu_share_marks",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("shard", Integer, nullable=False),
    Column(
        "xact",
        BigInteger,
        nullable=False,
        server_default=text("pg_current_xact_id()::text::bigint"),
    ),
    Index(None, "shard"),
)

gpu_needs = Table(
    "gpu_needs",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("part", Text, primary_key=True),
    Column("gpu_type", Text, nullable=False),
    Column("gpus_per_replica", Integer, nullable=False),
    Column("usd_per_gpu_hour", Double, nullable=False),
    Column("current_replicas", Integer, nullable=False),
    Column("held_replicas", Integer, nullable=False),
    Column("max_replicas", Integer, nullable=False),
    Column("step_s", Integer, nullable=False),
    Column("peaks", ARRAY(Integer), nullable=False),
    Column("risk_at_use", ARRAY(Double)),
    time_column("decided_at"),
)

cell_totals = Table(
    "cell_totals",
    metadata,
    Column("gpu_type", Text, primary_key=True),
    Column("gpus", Integer, nullable=False),
    time_column("set_at"),
)

cell_budgets = Table(
    "cell_budgets",
    metadata,
    Column("cluster_id", SmallInteger, ForeignKey("clusters.id"), primary_key=True),
    Column("gpu_type", Text, primary_key=True),
    Column("gpus", Integer, nullable=False),
    Column("held_gpus", BigInteger, nullable=False),
    Column("price_usd_per_gpu_hour", Double, nullable=True),
    time_column("exchanged_at"),
)

peer_gpus = Table(
    "peer_gpus",
    metadata,
    Column("peer", Text, primary_key=True),
    Column("gpu_type", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("given_gpus", BigInteger, nullable=False),
    Column("taken_gpus", BigInteger, nullable=False),
    time_column("given_at", nullable=True),
    CheckConstraint("given_gpus >= 0 AND taken_gpus >= 0", name="counts"),
)

shard_turns = Table(
    "shard_turns",
    metadata,
    Column("stage", Text, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    time_column("asked_at"),
    time_column("urgent_at", nullable=True),
    time_column("rest_at", nullable=True),
    Column("is_waiting", Boolean, nullable=False, server_default=text("false")),
)

superseded_origins = Table(
    "superseded_origins",
    metadata,
    Column("stage", Text, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    time_column("origin_at", primary_key=True),
    Column("is_urgent", Boolean, primary_key=True),
    time_column("newer_origin_at"),
    Column("reason", Text, nullable=False),
    time_column("superseded_at"),
    Index(None, "superseded_at"),
)

decision_inputs = Table(
    "decision_inputs",
    metadata,
    Column("decision_id", BigInteger, primary_key=True, autoincrement=False),
    time_column("origin_at", primary_key=True),
    Column("inputs", LargeBinary, nullable=False),
    postgresql_partition_by=partition_by("decision_inputs"),
)
