"""What a GPUAutoscaler says by itself, and which object it is, beside what holds.

NULL: the same as what holds; not known yet, or made over REST.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"
oldest_code = "0020"
branch_labels = None
depends_on = None

TABLE = "workloads"
SPEC, UID = "object_spec", "object_uid"
# it looks at the view of the table, so it goes and comes with it
POSTERIORS = """
CREATE VIEW cell.posteriors AS SELECT p.* FROM posteriors p
WHERE p.scope NOT LIKE 'workload:%' OR EXISTS (
  SELECT FROM cell.workloads w WHERE p.scope = 'workload:' || w.id
)
"""


def _see_cell() -> None:
    # columns that are new stand last, so a view that is there keeps its rights
    op.execute(
        f"CREATE OR REPLACE VIEW cell.{TABLE} AS SELECT * FROM {TABLE} "  # noqa: S608 - our table
        "WHERE cluster_id = (SELECT current_cluster()) WITH CASCADED CHECK OPTION"
    )
    op.execute(f"ALTER VIEW cell.{TABLE} ALTER COLUMN cluster_id SET DEFAULT current_cluster()")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    kind = postgresql.JSONB(astext_type=sa.Text())
    op.add_column(TABLE, sa.Column(SPEC, kind, nullable=True))
    op.add_column(TABLE, sa.Column(UID, sa.Text(), nullable=True))
    _see_cell()


def downgrade() -> None:
    op.execute("DROP VIEW cell.posteriors")
    op.execute(f"DROP VIEW cell.{TABLE}")
    for column in (UID, SPEC):
        op.drop_column(TABLE, column)
    _see_cell()
    op.execute(POSTERIORS)
