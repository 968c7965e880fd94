"""When workloads were away: from when they left until they came back.

A trigger notes it, so every writer is seen, those of the release before too. Of workloads that
came back before this it is not known when they were away.
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
oldest_code = "0020"
branch_labels = None
depends_on = None

TABLE = "workload_absences"
NOTE = f"""
CREATE OR REPLACE FUNCTION note_absence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.is_active THEN
    UPDATE {TABLE} SET back_at = greatest(left_at, NEW.updated_at)
    WHERE workload_id = NEW.id AND back_at IS NULL;
  ELSE
    INSERT INTO {TABLE} (workload_id, left_at) VALUES (NEW.id, NEW.updated_at)
    ON CONFLICT (workload_id, left_at) DO UPDATE SET back_at = NULL;
  END IF;
  RETURN NULL;
END
$$
"""  # noqa: S608 - our table


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        TABLE,
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("back_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("workload_id", "left_at", name=op.f(f"pk_{TABLE}")),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f(f"fk_{TABLE}_workload_id_workloads")
        ),
    )
    op.execute(NOTE)
    op.execute(
        "CREATE TRIGGER note_absence AFTER UPDATE OF is_active ON workloads FOR EACH ROW "
        "WHEN (OLD.is_active <> NEW.is_active) EXECUTE FUNCTION note_absence()"
    )
    op.execute(
        f"INSERT INTO {TABLE} (workload_id, left_at) "  # noqa: S608 - our table
        "SELECT id, updated_at FROM workloads WHERE NOT is_active"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER note_absence ON workloads")
    op.execute("DROP FUNCTION note_absence()")
    op.drop_table(TABLE)
