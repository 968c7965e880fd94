"""Drift states and refit requests; indexes for lists in time order; the audit log only grows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IN_TIME_ORDER = (
    ("decisions", ["origin_at", "id"]),
    ("actions", ["origin_at", "id"]),
    ("outcomes", ["step_at", "workload_id"]),
)
REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
    USING ERRCODE = 'insufficient_privilege';
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "drift_states",
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("severity", sa.Double(), nullable=True),
        sa.Column("drifted_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f("fk_drift_states_workload_id_workloads")
        ),
        sa.PrimaryKeyConstraint("workload_id", "model_version", name=op.f("pk_drift_states")),
    )
    op.create_table(
        "refit_requests",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("n_drifted", sa.Integer(), nullable=False),
        sa.Column("n_watched", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refit_requests")),
    )
    op.create_index(
        op.f("ix_refit_requests_requested_at"), "refit_requests", ["requested_at"], unique=False
    )
    for table, columns in IN_TIME_ORDER:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns, unique=False)
    op.execute(REFUSE_CHANGE)
    op.execute(
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_append_only ON audit")
    op.execute("DROP FUNCTION refuse_audit_change()")
    for table, columns in reversed(IN_TIME_ORDER):
        op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table_name=table)
    op.drop_index(op.f("ix_refit_requests_requested_at"), table_name="refit_requests")
    op.drop_table("refit_requests")
    op.drop_table("drift_states")
