"""Workloads that are made over REST, beside those of the operator."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "workloads",
        sa.Column("managed_by", sa.Text(), nullable=False, server_default="kubernetes"),
    )


def downgrade() -> None:
    op.drop_column("workloads", "managed_by")
