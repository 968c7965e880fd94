"""Mean ready replicas of each pool in a finished step, beside their sum."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # without a default no row is rewritten: only the catalogue changes
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("outcomes", sa.Column("ready_by_pool", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("outcomes", "ready_by_pool")
