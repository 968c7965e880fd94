"""How far out of SLA a service is that lacks replicas, beside what it may need.

Of needs that are there it is not known: they count as before, as if all of a step were missed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
oldest_code = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("gpu_needs", sa.Column("risk_at_use", sa.ARRAY(sa.Double()), nullable=True))


def downgrade() -> None:
    op.drop_column("gpu_needs", "risk_at_use")
