"""What a scaling made of each variant or pool, beside the counts of the whole."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # without a default no row is rewritten: only the catalogue changes
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("actions", sa.Column("parts", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("actions", "parts")
