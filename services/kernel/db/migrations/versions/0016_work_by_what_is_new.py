"""Repeated work that costs as much on day 30 as on day 1, and as much in a fleet as in a shard.

Running sums of what was covered, holdings of GPU budgets by shard, turns of shards under overload,
and indexes on the few rows that are asked for again and again.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# sums of decimals are exact, in whatever order rows come, change and go
SUM_COVERAGE = """
CREATE OR REPLACE FUNCTION sum_coverage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE sign int := CASE TG_ARGV[0] WHEN 'before' THEN -1 ELSE 1 END;
BEGIN
  INSERT INTO coverage_hours AS c (workload_id, hour_at, n_forecasts, covered)
  SELECT workload_id, date_trunc('hour', origin_at, 'UTC'), sign * count(*),
         sign * sum((coverage ->> '0.9')::numeric)
  FROM changed WHERE coverage ? '0.9' GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (workload_id, hour_at) DO UPDATE SET
    n_forecasts = c.n_forecasts + EXCLUDED.n_forecasts, covered = c.covered + EXCLUDED.covered;
  -- nobody sums up more than a week
  DELETE FROM coverage_hours c USING (
    SELECT workload_id, max(origin_at) AS newest FROM changed GROUP BY 1
  ) n WHERE c.workload_id = n.workload_id AND c.hour_at < n.newest - interval '8 days';
  RETURN NULL;
END
$$
"""
COVERAGE_TRIGGERS = (("INSERT", "NEW", "after"), ("DELETE", "OLD", "before"))
UPDATED_COVERAGE = (("OLD", "before"), ("NEW", "after"))
FIRST_SUMS = """
INSERT INTO coverage_hours (workload_id, hour_at, n_forecasts, covered)
SELECT workload_id, date_trunc('hour', origin_at, 'UTC'), count(*), sum((coverage ->> '0.9')::numeric)
FROM forecast_scores WHERE coverage ? '0.9'
AND origin_at > (SELECT max(origin_at) FROM forecast_scores) - interval '8 days' GROUP BY 1, 2
"""
MARK = "INSERT INTO gpu_share_marks (shard) SELECT DISTINCT w.shard FROM"
MARKS = {
    "workloads_insert": "changed w",
    "workloads_update": "changed w JOIN before b ON b.id = w.id WHERE (w.spec, w.is_active, "
    "w.step_s) IS DISTINCT FROM (b.spec, b.is_active, b.step_s)",
    # a snapshot of every workload comes at each step; few have other counts than the one before
    "replica_states_insert": "changed n JOIN workloads w ON w.id = n.workload_id LEFT JOIN LATERAL "
    "(SELECT spec_replicas, variants FROM replica_states r WHERE r.workload_id = n.workload_id "
    "AND r.observed_at < n.observed_at ORDER BY r.observed_at DESC LIMIT 1) p ON true WHERE "
    "(p.spec_replicas, jsonb_path_query_array(p.variants, '$.*.spec')) IS DISTINCT FROM "
    "(n.spec_replicas, jsonb_path_query_array(n.variants, '$.*.spec'))",
    **dict.fromkeys(
        ("decisions_insert", "intents_insert", "intents_delete"),
        "changed c JOIN workloads w ON w.id = c.workload_id",
    ),
}
FORGET_SHARES = """
CREATE OR REPLACE FUNCTION forget_gpu_shares() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM gpu_shares WHERE gpu_type IN (SELECT gpu_type FROM changed);
  RETURN NULL;
END
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _make_tables()
    op.execute(SUM_COVERAGE)
    for when, which, sign in COVERAGE_TRIGGERS:
        _trigger("forecast_scores", when, f"{which} TABLE AS changed", f"sum_coverage('{sign}')")
    for which, sign in UPDATED_COVERAGE:
        _trigger(
            "forecast_scores",
            "UPDATE",
            f"{which} TABLE AS changed",
            f"sum_coverage('{sign}')",
            f"_{sign}",
        )
    op.execute(FIRST_SUMS)
    for name, source in MARKS.items():
        table, when = name.rsplit("_", 1)
        tables = "OLD TABLE AS changed" if when == "delete" else "NEW TABLE AS changed"
        tables += " OLD TABLE AS before" if when == "update" else ""
        op.execute(
            f"CREATE OR REPLACE FUNCTION mark_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF EXISTS (SELECT FROM gpu_shares) THEN {MARK} {source}; END IF; "
            "RETURN NULL; END $$"
        )
        _trigger(table, when.upper(), tables, f"mark_{name}()", "_mark")
    op.execute(FORGET_SHARES)
    _trigger("gpu_budgets", "DELETE", "OLD TABLE AS changed", "forget_gpu_shares()")
    numbers = sa.text("n_paths > 0")
    op.create_index(
        "ix_forecasts_numbers", "forecasts", ["workload_id", "id"], postgresql_where=numbers
    )
    applied = sa.text("result IN ('applied', 'unknown')")
    op.create_index(
        "ix_actions_applied", "actions", ["workload_id", "applied_at"], postgresql_where=applied
    )
    op.create_index("ix_pod_starts_ready", "pod_starts", ["workload_id", "ready_at"])
    op.create_index(
        "ix_pod_starts_there", "pod_starts", ["workload_id"], postgresql_where="gone_at IS NULL"
    )


def downgrade() -> None:
    for name in ("ix_pod_starts_there", "ix_pod_starts_ready"):
        op.drop_index(name, table_name="pod_starts")
    op.drop_index("ix_actions_applied", table_name="actions")
    op.drop_index("ix_forecasts_numbers", table_name="forecasts")
    for name in ("sum_coverage", "forget_gpu_shares", *(f"mark_{name}" for name in MARKS)):
        op.execute(f"DROP FUNCTION {name}() CASCADE")
    for table in (
        "superseded_origins",
        "shard_turns",
        "gpu_share_marks",
        "gpu_shares",
        "coverage_hours",
    ):
        op.drop_table(table)


def _trigger(table: str, when: str, tables: str, function: str, suffix: str = "") -> None:
    name = f"{table}_{when.lower()}_sum{suffix}" if "sum" in function else None
    name = name or f"{table}_{when.lower()}_share{suffix}"
    op.execute(
        f"CREATE TRIGGER {name} AFTER {when} ON {table} REFERENCING {tables} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {function}"
    )


def _time(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, primary_key=primary_key)


def _make_tables() -> None:
    op.create_table(
        "coverage_hours",
        sa.Column("workload_id", sa.Integer(), primary_key=True, autoincrement=False),
        _time("hour_at", primary_key=True),
        sa.Column("n_forecasts", sa.Integer(), nullable=False),
        sa.Column("covered", sa.Numeric(), nullable=False),
    )
    op.create_table(
        "gpu_shares",
        sa.Column("gpu_type", sa.Text(), primary_key=True),
        sa.Column("shard", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("held_gpus", sa.BigInteger(), nullable=False),
        sa.Column("demand_gpus", ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("seen_in", sa.Text(), nullable=False),
        _time("good_until"),
    )
    op.create_table(
        "gpu_share_marks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), primary_key=True),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column(
            "xact",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
        ),
    )
    op.create_index("ix_gpu_share_marks_shard", "gpu_share_marks", ["shard"])
    op.create_table(
        "shard_turns",
        sa.Column("stage", sa.Text(), primary_key=True),
        sa.Column("shard", sa.Integer(), primary_key=True, autoincrement=False),
        _time("asked_at"),
        _time("urgent_at", nullable=True),
        _time("rest_at", nullable=True),
        sa.Column("is_waiting", sa.Boolean(), nullable=False, server_default=sa.text("false")),
    )
    op.create_table(
        "superseded_origins",
        sa.Column("stage", sa.Text(), primary_key=True),
        sa.Column("shard", sa.Integer(), primary_key=True, autoincrement=False),
        _time("origin_at", primary_key=True),
        sa.Column("is_urgent", sa.Boolean(), primary_key=True),
        _time("newer_origin_at"),
        sa.Column("reason", sa.Text(), nullable=False),
        _time("superseded_at"),
    )
    op.create_index("ix_superseded_origins_superseded_at", "superseded_origins", ["superseded_at"])
