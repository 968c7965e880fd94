"""Requests in flight on each pod; pods killed at the end of their grace after a scaling in.

Of scalings in from before it is not known.
"""

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
    op.create_table(
        "killed_pods",
        sa.Column("pod_uid", sa.Text(), nullable=False),
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("pod", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("grace_s", sa.Double(), nullable=False),
        sa.Column("requests", sa.Double(), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("killed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("pod_uid", name=op.f("pk_killed_pods")),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f("fk_killed_pods_workload_id_workloads")
        ),
    )
    op.create_index(op.f("ix_killed_pods_decision_id"), "killed_pods", ["decision_id"])
    op.create_index(
        op.f("ix_killed_pods_workload_id_killed_at"), "killed_pods", ["workload_id", "killed_at"]
    )


def downgrade() -> None:
    op.drop_table("killed_pods")
    op.drop_table("pod_requests")
