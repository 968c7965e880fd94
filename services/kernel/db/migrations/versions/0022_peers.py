"""GPUs that databases of cells give each other, counted at both ends.

Each end counts on its own, and no count ever falls: what was given and is not taken yet is nobody's,
so an answer that is lost, late or old moves nothing twice.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "peer_gpus",
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("given_gpus", sa.BigInteger(), nullable=False),
        sa.Column("taken_gpus", sa.BigInteger(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("peer", "gpu_type", name=op.f("pk_peer_gpus")),
        sa.CheckConstraint("given_gpus >= 0 AND taken_gpus >= 0", name=op.f("ck_peer_gpus_counts")),
    )


def downgrade() -> None:
    op.drop_table("peer_gpus")
