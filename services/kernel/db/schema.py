"""The tables. docs/data-model.md explains each column; a test holds the two together.

Times are aware UTC. Tables that grow with time are range-partitioned on the time named in
`PARTITIONED`; PostgreSQL wants that column in every unique key, and since it is a function of the
row's identity (a forecast has one origin), adding it does not weaken the key.
"""

from __future__ import annotations

from sqlalchemy import (
    REAL,
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
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

import services.kernel.db.schema_access
import services.kernel.db.schema_control
import services.kernel.db.schema_running
import services.kernel.db.schema_steps  # noqa: F401  # their tables belong to the metadata
from services.kernel.db.metadata import (
    PARTITIONED as PARTITIONED,
    metadata as metadata,
    partition_by,
    time_column,
)
from services.kernel.db.schema_clusters import SHARDS_PER_CLUSTER, cluster_column

workloads = Table(
    "workloads",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("step_s", Integer, nullable=False),
    Column("spec", JSONB, nullable=False),
    Column("spec_version", Integer, nullable=False, server_default=text("1")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("managed_by", Text, nullable=False, server_default="kubernetes"),
    time_column("created_at"),
    time_column("updated_at"),
    cluster_column(),
    Column("object_spec", JSONB, nullable=True),
    Column("object_uid", Text, nullable=True),
    time_column("goals_since", nullable=True),
    time_column("gpus_since", nullable=True),
    UniqueConstraint("cluster_id", "namespace", "name"),
    # while there is one cluster: the release before writes by it (`clusters.add_cluster`)
    UniqueConstraint("namespace", "name"),
    CheckConstraint(f"shard / {SHARDS_PER_CLUSTER} = cluster_id - 1", name="shard_is_of_cluster"),
    Index(None, "shard", postgresql_where=text("is_active")),
)

observations = Table(
    "observations",
    metadata,
    Column("workload_id", Integer, primary_key=True, autoincrement=False),
    Column("indicator", Text, primary_key=True),
    time_column("observed_at", primary_key=True),
    Column("value", Double, nullable=False),
    postgresql_partition_by=partition_by("observations"),
)

series_observations = Table(
    "series_observations",
    metadata,
    Column("workload_id", Integer, primary_key=True, autoincrement=False),
    Column("indicator", Text, primary_key=True),
    time_column("observed_at", primary_key=True),
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    Column("threshold_s", Double, primary_key=True),
    Column("value", Double, nullable=False),
    postgresql_partition_by=partition_by("series_observations"),
)

ingest_cursors = Table(
    "ingest_cursors",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    time_column("resampled_until", nullable=True),
    time_column("last_sample_at", nullable=True),
    Column("n_rejected", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    time_column("updated_at"),
    Column("counts_asked", Text),
)

replica_states = Table(
    "replica_states",
    metadata,
    Column("workload_id", Integer, primary_key=True, autoincrement=False),
    time_column("observed_at", primary_key=True),
    Column("spec_replicas", Integer, nullable=False),
    Column("ready_replicas", Integer, nullable=False),
    Column("starting_replicas", Integer, nullable=False),
    Column("pending_replicas", Integer, nullable=False),
    Column("start_ages_s", ARRAY(REAL), nullable=False),
    Column("schedulable_gpus", Integer, nullable=True),
    Column("variants", JSONB, nullable=True),
    Column("new_node_gpus", Integer, nullable=True),
    Column("warm_gpus", Integer, nullable=True),
    Column("spot_replicas", Integer, nullable=True),
    Column("spot_nodes", Integer, nullable=True),
    Column("leaving_replicas", Integer, nullable=True),
    postgresql_partition_by=partition_by("replica_states"),
)

pod_starts = Table(
    "pod_starts",
    metadata,
    Column("pod_uid", Text, primary_key=True),
    Column("workload_id", Integer, ForeignKey("workloads.id"), nullable=False),
    Column("gpu_type", Text, nullable=False),
    time_column("requested_at"),
    time_column("ready_at", nullable=True),
    time_column("gone_at", nullable=True),
    time_column("observed_at"),
    time_column("bound_at", nullable=True),
    Column("is_new_node", Boolean, nullable=True),
    Column("cause", Text, nullable=True),
    time_column("refused_at", nullable=True),
    Index(None, "workload_id", "requested_at"),
    Index("ix_pod_starts_ready", "workload_id", "ready_at"),
    Index("ix_pod_starts_there", "workload_id", postgresql_where=text("gone_at IS NULL")),
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("version", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("config", JSONB, nullable=False),
    Column("metrics", JSONB, nullable=False),
    Column("artifact", LargeBinary, nullable=True),
    time_column("created_at"),
    time_column("promoted_at", nullable=True),
    time_column("retired_at", nullable=True),
    Index(
        "uq_models_promoted", "status", unique=True, postgresql_where=text("status = 'promoted'")
    ),
)

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    time_column("origin_at", primary_key=True),
    Column("workload_id", Integer, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("rung", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("step_s", Integer, nullable=False),
    Column("n_horizon", SmallInteger, nullable=False),
    Column("quantile_levels", ARRAY(REAL), nullable=False),
    Column("quantiles", ARRAY(REAL, dimensions=2), nullable=False),
    Column("n_paths", SmallInteger, nullable=False),
    Column("paths", LargeBinary, nullable=True),
    Column("path_scale", REAL, nullable=True),
    time_column("created_at"),
    Column("further_names", ARRAY(Text), nullable=True),
    Column("further_paths", LargeBinary, nullable=True),
    Column("further_scales", ARRAY(Double), nullable=True),
    Column("packed_paths", LargeBinary, nullable=True),  # paths, of releases since 0021
    Column("measured_by", Text, nullable=True),
    UniqueConstraint("workload_id", "origin_at", "model_version"),
    Index("ix_forecasts_numbers", "workload_id", "id", postgresql_where=text("n_paths > 0")),
    postgresql_partition_by=partition_by("forecasts"),
)

calibration_states = Table(
    "calibration_states",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("state", JSONB, nullable=False),
    time_column("updated_at"),
)

forecast_scores = Table(
    "forecast_scores",
    metadata,
    Column("forecast_id", BigInteger, primary_key=True, autoincrement=False),
    time_column("origin_at", primary_key=True),
    Column("workload_id", Integer, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("n_steps", SmallInteger, nullable=False),
    Column("crps", Double, nullable=False),
    Column("pinball", JSONB, nullable=False),
    Column("coverage", JSONB, nullable=False),
    Column("crps_last_value", Double, nullable=True),
    Column("skill_vs_last_value", Double, nullable=True),
    time_column("scored_at"),
    Index(None, "workload_id", "origin_at"),
    postgresql_partition_by=partition_by("forecast_scores"),
)

drift_states = Table(
    "drift_states",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("state", JSONB, nullable=False),
    Column("kind", Text, nullable=True),
    Column("severity", Double, nullable=True),
    time_column("drifted_since", nullable=True),
    Column("reason", Text, nullable=False, server_default=text("''")),
    time_column("updated_at"),
)

refit_requests = Table(
    "refit_requests",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("model_version", Text, nullable=False),
    Column("n_drifted", Integer, nullable=False),
    Column("n_watched", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    time_column("requested_at"),
    Index(None, "requested_at"),
)

posteriors = Table(
    "posteriors",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("n_observations", Integer, nullable=False),
    Column("summary", JSONB, nullable=False),
    Column("diagnostics", JSONB, nullable=False),
    Column("draws", LargeBinary, nullable=True),
    time_column("fitted_at"),
    Index(None, "kind", "scope", "fitted_at"),
)

risk_states = Table(
    "risk_states",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("state", JSONB, nullable=False),
    time_column("updated_at"),
)

trust_verdicts = Table(
    "trust_verdicts",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("is_trusted", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("scores", JSONB, nullable=False),
    Column("n_looks", Integer, nullable=False),
    Column("state", JSONB, nullable=False),
    time_column("decided_at"),
)

gpu_budgets = Table(
    "gpu_budgets",
    metadata,
    cluster_column(primary_key=True),
    Column("gpu_type", Text, primary_key=True),
    Column("gpus", Integer, nullable=True),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    time_column("observed_at"),
    # as that of workloads: while there is one cluster
    UniqueConstraint("gpu_type"),
)

gpu_claims = Table(
    "gpu_claims",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("demand_replicas", ARRAY(Integer), nullable=False),
    time_column("claimed_at"),
)

variant_claims = Table(
    "variant_claims",
    metadata,
    Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True),
    Column("gpu_type", Text, primary_key=True),
    Column("demand_gpus", ARRAY(Integer), nullable=False),
    time_column("claimed_at"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    time_column("origin_at", primary_key=True),
    Column("workload_id", Integer, nullable=False),
    Column("forecast_id", BigInteger, nullable=False),
    Column("policy_version", Text, nullable=False),
    time_column("decided_at"),
    time_column("valid_until"),
    Column("current_replicas", Integer, nullable=False),
    Column("raw_replicas", Integer, nullable=False),
    Column("desired_replicas", Integer, nullable=False),
    Column("direction", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("binding_constraint", Text, nullable=True),
    Column("rung", Text, nullable=False),
    Column("risk_target", Double, nullable=False),
    Column("risk_estimated", Double, nullable=True),
    Column("cost_delta_usd_per_h", Double, nullable=False),
    Column("explanation", JSONB, nullable=False),
    Column("inputs", LargeBinary, nullable=True),  # of releases before decision_inputs
    Column("variants", JSONB, nullable=True),
    UniqueConstraint("forecast_id", "policy_version", "origin_at"),
    Index(None, "workload_id", "origin_at"),
    Index(None, "origin_at", "id"),
    postgresql_partition_by=partition_by("decisions"),
)

actions = Table(
    "actions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    time_column("origin_at", primary_key=True),
    Column("decision_id", BigInteger, nullable=False),
    Column("workload_id", Integer, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("from_replicas", Integer, nullable=True),
    Column("to_replicas", Integer, nullable=True),
    Column("result", Text, nullable=False),
    Column("reason", Text, nullable=False),
    time_column("applied_at"),
    Column("parts", JSONB, nullable=True),
    UniqueConstraint("decision_id", "attempt", "origin_at"),
    Index(None, "workload_id", "origin_at"),
    Index(None, "origin_at", "id"),
    Index(
        "ix_actions_applied",
        "workload_id",
        "applied_at",
        postgresql_where=text("result IN ('applied', 'unknown')"),
    ),
    postgresql_partition_by=partition_by("actions"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("workload_id", Integer, primary_key=True, autoincrement=False),
    time_column("step_at", primary_key=True),
    Column("decision_id", BigInteger, nullable=True),
    Column("demand", Double, nullable=True),
    Column("ready_mean", Double, nullable=True),
    Column("needed_replicas", Integer, nullable=True),
    Column("violation_ratio", Double, nullable=True),
    Column("shortage", Double, nullable=True),
    Column("gpu_hours", Double, nullable=True),
    Column("cost_usd", Double, nullable=True),
    Column("ready_by_pool", JSONB, nullable=True),
    time_column("computed_at"),
    Column("sli_requests", Double, nullable=True),
    *(Column(f"sli_miss_{end}", Double, nullable=True) for end in ("low", "high")),
    Column("measured_violation_ratio", Double, nullable=True),
    Column("is_final", Boolean, nullable=False, server_default=text("true")),
    Index(None, "decision_id"),
    Index(None, "step_at", "workload_id"),
    Index(
        "ix_outcomes_measured",
        "workload_id",
        "step_at",
        postgresql_include=[
            *("violation_ratio", "gpu_hours", "cost_usd"),
            *("measured_violation_ratio", "sli_requests", "is_final"),
        ],
    ),
    postgresql_partition_by=partition_by("outcomes"),
)

SEQUENCES = ("forecasts_id_seq", "decisions_id_seq", "actions_id_seq")
