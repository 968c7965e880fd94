"""Forecasts of the further loads of a workload, beside those of its demand."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "further_names": postgresql.ARRAY(sa.Text()),
    "further_paths": sa.LargeBinary(),
    "further_scales": postgresql.ARRAY(sa.Double()),
}


def upgrade() -> None:
    # without a default no row is rewritten: only the catalogue changes
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, kind in COLUMNS.items():
        op.add_column("forecasts", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("forecasts", name)
