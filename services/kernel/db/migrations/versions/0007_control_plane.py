"""Requests made through the API: operations, controls, freezes, approvals, idempotency, events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NOTE_EVENT = """
CREATE OR REPLACE FUNCTION note_api_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE ids bigint[];
BEGIN
  SELECT array_agg(id ORDER BY id) INTO ids FROM changed;
  IF ids IS NOT NULL THEN
    INSERT INTO api_events (kind, refs) VALUES (TG_ARGV[0], ids);
    PERFORM pg_notify('harmony_events', '');
  END IF;
  RETURN NULL;
END
$$
"""
TRIGGERS = (
    ("decisions", "INSERT", "decision"),
    ("actions", "INSERT", "action"),
    ("operations", "INSERT", "operation"),
    ("operations", "UPDATE", "operation"),
)


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("progress", sa.REAL(), server_default=sa.text("0"), nullable=False),
        sa.Column("message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column(
            "is_cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("n_attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        _at("created_at"),
        _at("started_at", nullable=True),
        _at("heartbeat_at", nullable=True),
        _at("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_index(op.f("ix_operations_kind_id"), "operations", ["kind", "id"])
    op.create_table(
        "workload_controls",
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        _at("updated_at"),
        sa.ForeignKeyConstraint(
            ["workload_id"],
            ["workloads.id"],
            name=op.f("fk_workload_controls_workload_id_workloads"),
        ),
        sa.PrimaryKeyConstraint("workload_id", name=op.f("pk_workload_controls")),
    )
    op.create_table(
        "freezes",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=False),
        _at("from_at"),
        _at("until_at"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        _at("created_at"),
        _at("lifted_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_freezes")),
    )
    op.create_index(op.f("ix_freezes_until_at"), "freezes", ["until_at"])
    op.create_table(
        "approvals",
        sa.Column("decision_id", sa.BigInteger(), autoincrement=False, nullable=False),
        _at("origin_at"),
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        _at("decided_at"),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_approvals")),
    )
    op.create_index(
        op.f("ix_approvals_workload_id_decision_id"), "approvals", ["workload_id", "decision_id"]
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=True),
        _at("created_at"),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    op.create_table(
        "api_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "xact",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("refs", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_events")),
    )
    op.create_index(op.f("ix_api_events_xact_id"), "api_events", ["xact", "id"])
    op.create_index(op.f("ix_api_events_created_at"), "api_events", ["created_at"])
    # a workload's outcomes lie far apart: what is summed up over a day is read from the index
    op.create_index(
        op.f("ix_outcomes_measured"),
        "outcomes",
        ["workload_id", "step_at"],
        postgresql_include=["violation_ratio", "gpu_hours", "cost_usd"],
    )
    op.execute(NOTE_EVENT)
    for table, when, kind in TRIGGERS:
        op.execute(
            f"CREATE TRIGGER {table}_{when.lower()}_event AFTER {when} ON {table} "
            "REFERENCING NEW TABLE AS changed FOR EACH STATEMENT "
            f"EXECUTE FUNCTION note_api_event('{kind}')"
        )


def downgrade() -> None:
    for table, when, _ in reversed(TRIGGERS):
        op.execute(f"DROP TRIGGER {table}_{when.lower()}_event ON {table}")
    op.execute("DROP FUNCTION note_api_event()")
    op.drop_index(op.f("ix_outcomes_measured"), table_name="outcomes")
    for table in (
        "api_events",
        "idempotency_keys",
        "approvals",
        "freezes",
        "workload_controls",
        "operations",
    ):
        op.drop_table(table)
