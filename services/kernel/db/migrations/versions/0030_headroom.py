"""Headroom: what services may need while a node starts, what is advised, and what was asked for.

Of supplies that were there it is not known how many GPUs a node has; their headroom is advised at
the usual risk.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

SUPPLY, HEADROOM, NEEDS = "gpu_supply", "gpu_headroom", "gpu_needs"


def _see_cell(table: str) -> None:
    # columns that are new stand last, so a view that is there keeps its rights
    op.execute(
        f"CREATE OR REPLACE VIEW cell.{table} AS SELECT * FROM {table} "  # noqa: S608 - our table
        "WHERE cluster_id = (SELECT current_cluster()) WITH CASCADED CHECK OPTION"
    )
    op.execute(f"ALTER VIEW cell.{table} ALTER COLUMN cluster_id SET DEFAULT current_cluster()")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(SUPPLY, sa.Column("gpus_per_node", sa.Integer(), nullable=True))
    op.add_column(SUPPLY, sa.Column("headroom_risk", sa.Double(), nullable=True))
    op.add_column(SUPPLY, sa.Column("headroom_mode", sa.Text(), nullable=True))
    _see_cell(SUPPLY)
    op.create_table(
        HEADROOM,
        sa.Column("cluster_id", sa.SmallInteger(), nullable=False, server_default=sa.text("1")),
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("risk", sa.Double(), nullable=False),
        sa.Column("need_gpus", sa.Integer(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("chunk_gpus", sa.Integer(), nullable=False),
        sa.Column("free_gpus", sa.Integer(), nullable=False),
        sa.Column("risk_before", sa.Double(), nullable=False),
        sa.Column("risk_after", sa.Double(), nullable=False),
        sa.Column("usd_per_hour", sa.Double(), nullable=False),
        sa.Column("is_capped", sa.Boolean(), nullable=False),
        sa.Column("n_workloads", sa.Integer(), nullable=False),
        sa.Column("n_unknown", sa.Integer(), nullable=False),
        sa.Column("beyond_ratio", sa.Double(), nullable=False),
        sa.Column("dependence", sa.Double(), nullable=False),
        sa.Column("n_dependence_steps", sa.Integer(), nullable=False),
        sa.Column("dependence_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("advised_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "gpu_type", name=op.f(f"pk_{HEADROOM}")),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["clusters.id"], name=op.f(f"fk_{HEADROOM}_cluster_id_clusters")
        ),
    )
    _see_cell(HEADROOM)
    op.create_table(
        NEEDS,
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("gpus_per_replica", sa.Integer(), nullable=False),
        sa.Column("usd_per_gpu_hour", sa.Double(), nullable=False),
        sa.Column("current_replicas", sa.Integer(), nullable=False),
        sa.Column("held_replicas", sa.Integer(), nullable=False),
        sa.Column("max_replicas", sa.Integer(), nullable=False),
        sa.Column("step_s", sa.Integer(), nullable=False),
        sa.Column("peaks", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workload_id", "part", name=op.f(f"pk_{NEEDS}")),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f(f"fk_{NEEDS}_workload_id_workloads")
        ),
    )


def downgrade() -> None:
    op.drop_table(NEEDS)
    op.execute(f"DROP VIEW cell.{HEADROOM}")
    op.drop_table(HEADROOM)
    op.execute(f"DROP VIEW cell.{SUPPLY}")
    for column in ("headroom_mode", "headroom_risk", "gpus_per_node"):
        op.drop_column(SUPPLY, column)
    _see_cell(SUPPLY)
