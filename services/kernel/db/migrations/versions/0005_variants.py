"""Variants: replicas and decisions by kind of replica, and what a mix would take at which price."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("replica_states", sa.Column("variants", postgresql.JSONB(), nullable=True))
    op.add_column("decisions", sa.Column("variants", postgresql.JSONB(), nullable=True))
    op.create_table(
        "variant_claims",
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("demand_gpus", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f("fk_variant_claims_workload_id_workloads")
        ),
        sa.PrimaryKeyConstraint("workload_id", "gpu_type", name=op.f("pk_variant_claims")),
    )


def downgrade() -> None:
    op.drop_table("variant_claims")
    op.drop_column("decisions", "variants")
    op.drop_column("replica_states", "variants")
