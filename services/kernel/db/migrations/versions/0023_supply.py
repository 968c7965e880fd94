"""Where the GPUs of each type come from, and which starts waited for a new node.

What was there is of a fixed supply: of its starts it is not known when they were given a node.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLE = "gpu_supply"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("replica_states", sa.Column("new_node_gpus", sa.Integer(), nullable=True))
    op.add_column("pod_starts", sa.Column("bound_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("pod_starts", sa.Column("is_new_node", sa.Boolean(), nullable=True))
    op.create_table(
        TABLE,
        sa.Column("cluster_id", sa.SmallInteger(), nullable=False, server_default=sa.text("1")),
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("ceiling", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("node_gpus", sa.Integer(), nullable=False),
        sa.Column("asked_gpus", sa.Integer(), nullable=False),
        sa.Column("startup_median_s", sa.REAL(), nullable=False),
        sa.Column("startup_sigma", sa.REAL(), nullable=False),
        sa.Column("n_startups", sa.Integer(), nullable=False),
        sa.Column("n_refused", sa.Integer(), nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "gpu_type", name=op.f(f"pk_{TABLE}")),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["clusters.id"], name=op.f(f"fk_{TABLE}_cluster_id_clusters")
        ),
    )
    op.execute(
        f"CREATE VIEW cell.{TABLE} AS SELECT * FROM {TABLE} "  # noqa: S608 - our table
        "WHERE cluster_id = (SELECT current_cluster()) WITH CASCADED CHECK OPTION"
    )
    op.execute(f"ALTER VIEW cell.{TABLE} ALTER COLUMN cluster_id SET DEFAULT current_cluster()")


def downgrade() -> None:
    op.execute(f"DROP VIEW cell.{TABLE}")
    op.drop_table(TABLE)
    for column in ("is_new_node", "bound_at"):
        op.drop_column("pod_starts", column)
    op.drop_column("replica_states", "new_node_gpus")
