"""Since when it is known of a pod that no node comes for it.

Of starts from before that had no node when they ended it is not known how long one was waited for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

TABLE, COLUMN = "pod_starts", "refused_at"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(TABLE, sa.Column(COLUMN, sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE pod_starts SET refused_at = requested_at "
        "WHERE bound_at IS NULL AND ready_at IS NULL AND gone_at IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_column(TABLE, COLUMN)
