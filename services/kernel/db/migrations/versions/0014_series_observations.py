"""Counters of single pods, as a remote write brings them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

KEY = ("workload_id", "indicator", "observed_at", "series", "threshold_s")


def upgrade() -> None:
    op.create_table(
        "series_observations",
        sa.Column("workload_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("indicator", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("series", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("threshold_s", sa.Double(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_series_observations")),
        postgresql_partition_by="RANGE (observed_at)",
    )


def downgrade() -> None:
    op.drop_table("series_observations")
