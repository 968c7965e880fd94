"""Paths of forecasts compressed, and room beside rows that are written again at each step.

A row that is written again goes into its own page where there is room, and takes the place of one
before it: the table does not grow, and its indexes are not written.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

WRITTEN_AGAIN = (
    "calibration_states",
    "coverage_hours",
    "drift_states",
    "gpu_claims",
    "ingest_cursors",
    "risk_states",
    "variant_claims",
)
FILL_PERCENT = 45


def upgrade() -> None:
    # the catalogue alone changes: no row is rewritten, and readers and writers go on
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("forecasts", sa.Column("packed_paths", sa.LargeBinary(), nullable=True))
    for table in WRITTEN_AGAIN:
        op.execute(f"ALTER TABLE {table} SET (fillfactor = {FILL_PERCENT})")


def downgrade() -> None:
    for table in WRITTEN_AGAIN:
        op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    # forecasts of it keep their quantiles: they are decided by those
    op.drop_column("forecasts", "packed_paths")
