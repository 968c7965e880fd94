"""What requests felt in a step, beside what the believed capacity says of it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEX = "ix_outcomes_measured"
BELIEVED = ("violation_ratio", "gpu_hours", "cost_usd")
MEASURED = ("sli_requests", "sli_miss_low", "sli_miss_high", "measured_violation_ratio")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in MEASURED:
        op.add_column("outcomes", sa.Column(name, sa.Double(), nullable=True))
    op.add_column(
        "outcomes",
        sa.Column("is_final", sa.Boolean(), nullable=False, server_default=sa.text("true")),
    )
    # what is summed up over a day is still read from the index alone
    _index_of((*BELIEVED, "measured_violation_ratio", "sli_requests", "is_final"))


def downgrade() -> None:
    _index_of(BELIEVED)
    op.drop_column("outcomes", "is_final")
    for name in reversed(MEASURED):
        op.drop_column("outcomes", name)


def _index_of(columns: tuple[str, ...]) -> None:
    op.drop_index(INDEX, table_name="outcomes")
    op.create_index(INDEX, "outcomes", ["workload_id", "step_at"], postgresql_include=list(columns))
