"""By what the loads of a forecast were measured; of rows that were there, nothing is known."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
oldest_code = "0020"
branch_labels = None
depends_on = None

TABLE, COLUMN = "forecasts", "measured_by"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(TABLE, sa.Column(COLUMN, sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column(TABLE, COLUMN)
