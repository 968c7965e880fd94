"""Spot nodes: replicas on them, and how often they are interrupted.

Of snapshots that were there nothing is known: none of their replicas counts as on a spot node.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

STATES, TABLE = "replica_states", "gpu_interruptions"
COLUMNS = ("spot_replicas", "spot_nodes", "leaving_replicas")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for column in COLUMNS:
        op.add_column(STATES, sa.Column(column, sa.Integer(), nullable=True))
    op.create_table(
        TABLE,
        sa.Column("cluster_id", sa.SmallInteger(), nullable=False, server_default=sa.text("1")),
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("interruptions", sa.Double(), nullable=False),
        sa.Column("node_hours", sa.Double(), nullable=False),
        sa.Column("noticed_nodes", sa.ARRAY(sa.Text()), nullable=False),
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
    for column in COLUMNS:
        op.drop_column(STATES, column)
