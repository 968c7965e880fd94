"""Since when a workload has had its goals and its GPUs; of changes before this nothing is known.

A trigger notes it, so every writer is seen, those of the release before too. A spec that somebody
has spoilt states neither. What is only added to variants or pools leaves the others as they were.
"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
oldest_code = "0020"
branch_labels = None
depends_on = None

TABLE, COLUMNS = "workloads", ("goals_since", "gpus_since")
GOALS = """
CREATE OR REPLACE FUNCTION stated_goals(spec jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_agg(g.goal ORDER BY g.goal) FROM (
    SELECT jsonb_build_array(one ->> 'metric', (one ->> 'threshold_s')::double precision) AS goal
    FROM jsonb_array_elements(CASE jsonb_typeof(spec -> 'sla' -> 'objective' -> 'goals')
      WHEN 'array' THEN spec -> 'sla' -> 'objective' -> 'goals' ELSE '[]' END) one
  ) g
$$
"""
GPUS = """
CREATE OR REPLACE FUNCTION stated_gpus(spec jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object(
    'own', concat_ws(' ', coalesce(spec ->> 'gpu_type', 'H100'),
      coalesce(spec ->> 'gpus_per_replica', '1')),
    'first', spec -> 'variants' -> 0 ->> 'name',
    'parts', coalesce(jsonb_agg(concat_ws(' ', part.kind, one ->> 'name', one ->> 'gpu_type',
      coalesce(one ->> 'gpus_per_replica', '1'), one ->> 'loads')), '[]'))
  FROM (VALUES ('variants', spec -> 'variants'), ('pools', spec -> 'pools')) part (kind, listed)
  CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(part.listed) WHEN 'array' THEN part.listed ELSE '[]' END) one
$$
"""
NOTE = """
CREATE OR REPLACE FUNCTION note_spec_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  before jsonb := stated_gpus(OLD.spec);
  after jsonb := stated_gpus(NEW.spec);
BEGIN
  IF stated_goals(OLD.spec) IS DISTINCT FROM stated_goals(NEW.spec) THEN
    NEW.goals_since := NEW.updated_at;
  END IF;
  IF before ->> 'own' <> after ->> 'own' OR NOT (after -> 'parts') @> (before -> 'parts')
    OR (before ->> 'first') <> (after ->> 'first') THEN
    NEW.gpus_since := NEW.updated_at;
  END IF;
  RETURN NEW;
END
$$
"""
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
    for column in COLUMNS:
        op.add_column(TABLE, sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    _see_cell()
    for function in (GOALS, GPUS, NOTE):
        op.execute(function)
    op.execute(
        "CREATE TRIGGER note_spec_change BEFORE UPDATE OF spec ON workloads FOR EACH ROW "
        "WHEN (jsonb_typeof(OLD.spec) = 'object' AND jsonb_typeof(NEW.spec) = 'object' "
        "AND OLD.spec <> NEW.spec) EXECUTE FUNCTION note_spec_change()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER note_spec_change ON workloads")
    for function in ("note_spec_change()", "stated_gpus(jsonb)", "stated_goals(jsonb)"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP VIEW cell.posteriors")
    op.execute(f"DROP VIEW cell.{TABLE}")
    for column in COLUMNS:
        op.drop_column(TABLE, column)
    _see_cell()
    op.execute(POSTERIORS)
