"""API keys for some namespaces only, and keys that took another's place."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("namespaces", sa.ARRAY(sa.Text()), nullable=True))
    op.add_column("api_keys", sa.Column("replaced_by", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "replaced_by")
    op.drop_column("api_keys", "namespaces")
