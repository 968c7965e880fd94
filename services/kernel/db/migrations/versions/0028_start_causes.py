"""What a start had to do first, and how many free GPUs are on nodes that have the image.

Of starts that were there it is not known.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("pod_starts", sa.Column("cause", sa.Text(), nullable=True))
    op.add_column("replica_states", sa.Column("warm_gpus", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("replica_states", "warm_gpus")
    op.drop_column("pod_starts", "cause")
