"""What a decision is made again from, apart from the decision and for as long as its forecast.

Inputs that are stored with their decision stay there until it goes; the release before this one
goes on writing them so.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # a new table alone: no row is rewritten, and no table that is in use is locked
    op.create_table(
        "decision_inputs",
        sa.Column("decision_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("origin_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("inputs", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", "origin_at", name=op.f("pk_decision_inputs")),
        postgresql_partition_by="RANGE (origin_at)",
    )


def downgrade() -> None:
    op.drop_table("decision_inputs")
