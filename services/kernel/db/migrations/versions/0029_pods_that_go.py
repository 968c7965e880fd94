"""Requests in flight on each pod, as they were read last."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "pod_requests",
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("by_pod", JSONB(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workload_id", name=op.f("pk_pod_requests")),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f("fk_pod_requests_workload_id_workloads")
        ),
    )


def downgrade() -> None:
    op.drop_table("pod_requests")
