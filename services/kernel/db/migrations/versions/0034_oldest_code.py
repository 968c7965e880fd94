"""The oldest code that the schema serves, beside its revision.

Why 0020: code of before 0018 cannot write steps any more, and a second cluster takes away the keys
that code of before 0020 writes by. All later migrations only add.
"""

from alembic import op

revision = "0034"
down_revision = "0033"
oldest_code = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # it is there where the revision was set back by hand for code of 0033 (docs/operations.md)
    op.execute("ALTER TABLE alembic_version ADD COLUMN IF NOT EXISTS oldest_code text")


def downgrade() -> None:
    op.execute("ALTER TABLE alembic_version DROP COLUMN oldest_code")
