"""Verdicts on whether each workload's model has earned its place against the trailing percentile."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trust_verdicts",
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("is_trusted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("scores", postgresql.JSONB(), nullable=False),
        sa.Column("n_looks", sa.Integer(), nullable=False),
        sa.Column("state", postgresql.JSONB(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f("fk_trust_verdicts_workload_id_workloads")
        ),
        sa.PrimaryKeyConstraint("workload_id", name=op.f("pk_trust_verdicts")),
    )


def downgrade() -> None:
    op.drop_table("trust_verdicts")
