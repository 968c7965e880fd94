"""Tables of what is asked for: by the API (operations, controls, ...), of a target (intents)."""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.kernel.db.metadata import metadata, time_column
from services.kernel.db.schema_clusters import cluster_column

operations = Table(
    "operations",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("params", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'queued'")),
    Column("progress", REAL, nullable=False, server_default=text("0")),
    Column("message", Text, nullable=False, server_default=text("''")),
    Column("result", JSONB, nullable=True),
    Column("is_cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("n_attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("created_by", Text, nullable=False),
    time_column("created_at"),
    time_column("started_at", nullable=True),
    time_column("heartbeat_at", nullable=True),
    time_column("finished_at", nullable=True),
    cluster_column(),
    Index("ix_operations_kind_id", "kind", "id"),
)

workload_controls = Table(
    "workload_controls",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
    Column("updated_by", Text, nullable=False),
    time_column("updated_at"),
)

freezes = Table(
    "freezes",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=True),
    Column("name", Text, nullable=True),
    Column("direction", Text, nullable=False),
    time_column("from_at"),
    time_column("until_at"),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    time_column("created_at"),
    time_column("lifted_at", nullable=True),
    cluster_column(),
    Index(None, "until_at"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("decision_id", BigInteger, primary_key=True, autoincrement=False),
    time_column("origin_at"),
    Column("workload_id", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("actor", Text, nullable=False),
    time_column("decided_at"),
    Index("ix_approvals_workload_id_decision_id", "workload_id", "decision_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", JSONB, nullable=True),
    time_column("created_at"),
    Index(None, "created_at"),
)

api_events = Table(
    "api_events",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column(
        "xact",
        BigInteger,
        nullable=False,
        server_default=text("pg_current_xact_id()::text::bigint"),
    ),
    Column("kind", Text, nullable=False),
    Column("refs", ARRAY(BigInteger), nullable=False),
    Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
    ),
    Index("ix_api_events_xact_id", "xact", "id"),
    Index(None, "created_at"),
)

intents = Table(
    "intents",
    metadata,
    Column("decision_id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", SmallInteger, primary_key=True, autoincrement=False),
    time_column("origin_at"),
    Column("workload_id", Integer, ForeignKey("workloads.id"), nullable=False),
    Column("from_replicas", Integer, nullable=False),
    Column("to_replicas", Integer, nullable=False),
    Column("targets", JSONB, nullable=False),
    time_column("created_at"),
)
