"""What requests felt in a step, beside what the believed capacity says of it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

MEASURED = ("sli_requests", "sli_miss_low", "sli_miss_high", "measured_violation_ratio")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in MEASURED:
        op.add_column("outcomes", sa.Column(name, sa.Double(), nullable=True))
    op.add_column(
        "outcomes",
        sa.Column("is_final", sa.Boolean(), nullable=False, server_default=sa.text("true")),
    )


def downgrade() -> None:
    op.drop_column("outcomes", "is_final")
    for name in reversed(MEASURED):
        op.drop_column("outcomes", name)
