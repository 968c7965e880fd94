"""A cluster sees every belief about its workloads: those by GPU type and by cause of a start too.

Code of before finds more rows there than it did, all of workloads that it sees.
"""

from alembic import op

revision = "0040"
down_revision = "0039"
oldest_code = "0020"
branch_labels = None
depends_on = None

# after the workload's id a scope may name a GPU type and the cause of a start
SEEN = """
CREATE OR REPLACE VIEW cell.posteriors AS SELECT p.* FROM posteriors p
WHERE p.scope NOT LIKE 'workload:%' OR EXISTS (
  SELECT FROM cell.workloads w
  WHERE w.id = CAST(substring(p.scope FROM '^workload:([0-9]{1,18})([/#]|$)') AS bigint)
)
"""
BEFORE = """
CREATE OR REPLACE VIEW cell.posteriors AS SELECT p.* FROM posteriors p
WHERE p.scope NOT LIKE 'workload:%' OR EXISTS (
  SELECT FROM cell.workloads w WHERE p.scope = 'workload:' || w.id
)
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(SEEN)


def downgrade() -> None:
    op.execute(BEFORE)
