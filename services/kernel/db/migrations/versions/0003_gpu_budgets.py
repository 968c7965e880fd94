"""GPU budgets as the operator read them, and what each workload would take at which price."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gpu_budgets",
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("gpu_type", name=op.f("pk_gpu_budgets")),
    )
    op.create_table(
        "gpu_claims",
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("demand_replicas", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f("fk_gpu_claims_workload_id_workloads")
        ),
        sa.PrimaryKeyConstraint("workload_id", name=op.f("pk_gpu_claims")),
    )


def downgrade() -> None:
    op.drop_table("gpu_claims")
    op.drop_table("gpu_budgets")
