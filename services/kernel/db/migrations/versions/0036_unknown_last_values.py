"""The score of the last value may be unknown: none was seen before the origin, or no outcome.

Rows of before keep their 0. A true 0 is one of a demand that did not move and equals its last
value, as of a service that sleeps: far more of them than of unknown ones, and a row does not tell
which it is. The table is too large to be looked through; scores are read a week back.
"""

from alembic import op

revision = "0036"
down_revision = "0035"
oldest_code = "0020"
branch_labels = None
depends_on = None

TABLE, COLUMN = "forecast_scores", "crps_last_value"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column(TABLE, COLUMN, nullable=True)


def downgrade() -> None:
    op.execute(f"UPDATE {TABLE} SET {COLUMN} = 0 WHERE {COLUMN} IS NULL")  # noqa: S608 - our table
    op.alter_column(TABLE, COLUMN, nullable=False)
