"""One row per workload and step with all indicators in arrays, instead of one row per value.

What was written before stays in `indicator_values`, as the table is called from here on, until the
job `ingest.move_indicators` has moved it: this migration itself moves nothing and holds its locks
for moments. `indicators` becomes a view of both with the columns that it always had.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

DAYS = 7
# two writers at once may make a layout twice: either says what its rows hold
LAYOUT = """
CREATE FUNCTION indicator_layout(wanted text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE found integer;
BEGIN
  SELECT min(id) INTO found FROM indicator_layouts WHERE names = wanted;
  IF found IS NULL THEN
    INSERT INTO indicator_layouts (names) VALUES (wanted) RETURNING id INTO found;
  END IF;
  RETURN found;
END
$$
"""
# bits of a state: 1 the step has a row of the indicator, 2 it is observed, 4 it has a value
STATE = """
CREATE FUNCTION indicator_state(value real, is_observed boolean) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
  SELECT 1 + CASE WHEN is_observed THEN 2 ELSE 0 END + CASE WHEN value IS NULL THEN 0 ELSE 4 END
$$
"""
MERGE = """
CREATE FUNCTION merge_indicator_steps(
  old_layout integer, old_values real[], old_states bytea,
  new_layout integer, new_values real[], new_states bytea,
  OUT layout_id integer, OUT "values" real[], OUT states bytea
) LANGUAGE plpgsql AS $$
DECLARE
  names text[]; new_names text[]; place integer; state integer;
BEGIN
  layout_id := old_layout;
  "values" := old_values;
  states := old_states;
  IF new_layout <> old_layout THEN
    SELECT l.names INTO STRICT names FROM indicator_layouts l WHERE l.id = old_layout;
    SELECT l.names INTO STRICT new_names FROM indicator_layouts l WHERE l.id = new_layout;
  END IF;
  FOR n IN 1..cardinality(new_values) LOOP
    state := get_byte(new_states, n - 1);
    CONTINUE WHEN state = 0;
    place := n;
    IF new_layout <> old_layout THEN
      place := array_position(names, new_names[n]);
      IF place IS NULL THEN
        names := names || new_names[n];
        "values" := "values" || 'NaN'::real;
        states := states || '\\x00'::bytea;
        place := cardinality(names);
      END IF;
    END IF;
    -- an observed value is replaced by another, never by a gap
    CONTINUE WHEN state & 2 = 0 AND get_byte(states, place - 1) & 2 = 2;
    "values"[place] := new_values[n];
    states := set_byte(states, place - 1, state);
  END LOOP;
  IF cardinality("values") > cardinality(old_values) THEN
    layout_id := indicator_layout(names);
  END IF;
END
$$
"""
# for people, and for what was written for the table: the product writes `indicator_steps` itself
WRITE = """
CREATE FUNCTION write_indicator() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE place integer; moved bigint;
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM indicator_values v WHERE v.workload_id = OLD.workload_id
      AND v.indicator = OLD.indicator AND v.step_at = OLD.step_at;
    UPDATE indicator_steps s
    SET states = set_byte(s.states, array_position(l.names, OLD.indicator) - 1, 0)
    FROM indicator_layouts l WHERE l.id = s.layout_id AND OLD.indicator = ANY(l.names)
      AND s.workload_id = OLD.workload_id AND s.step_at = OLD.step_at;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  moved := move_indicator_values(ARRAY[NEW.workload_id], NEW.step_at, NEW.step_at);
  INSERT INTO indicator_steps AS i (workload_id, layout_id, step_at, "values", states)
  SELECT NEW.workload_id, indicator_layout(ARRAY[NEW.indicator]), NEW.step_at,
         ARRAY[COALESCE(NEW.value, 'NaN'::real)],
         set_byte('\\x00'::bytea, 0, indicator_state(NEW.value, NEW.is_observed))
  ON CONFLICT (workload_id, step_at) DO UPDATE SET (layout_id, "values", states) = (
    SELECT m.layout_id, m.values, m.states FROM merge_indicator_steps(i.layout_id, i.values,
      i.states, EXCLUDED.layout_id, EXCLUDED.values, EXCLUDED.states) m);
  RETURN NEW;
END
$$
"""
# a step's rows of before are in one of the two tables: whoever writes a step moves it first
MOVE = """
CREATE FUNCTION move_indicator_values(ids integer[], first_at timestamptz, last_at timestamptz)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n_moved bigint;
BEGIN
  WITH gone AS (
    DELETE FROM indicator_values WHERE workload_id = ANY(ids) AND step_at BETWEEN first_at AND last_at
    RETURNING workload_id, indicator, step_at, value, is_observed
  ), steps AS (
    SELECT workload_id, step_at, array_agg(indicator ORDER BY indicator) AS names,
           array_agg(COALESCE(value, 'NaN'::real) ORDER BY indicator) AS "values",
           string_agg(set_byte('\\x00'::bytea, 0, indicator_state(value, is_observed)), ''::bytea
                      ORDER BY indicator) AS states
    FROM gone GROUP BY workload_id, step_at
  ), layouts AS MATERIALIZED (
    SELECT names, indicator_layout(names) AS id FROM (SELECT DISTINCT names FROM steps) d
  )
  INSERT INTO indicator_steps AS i (workload_id, layout_id, step_at, "values", states)
  SELECT s.workload_id, l.id, s.step_at, s.values, s.states FROM steps s JOIN layouts l USING (names)
  ORDER BY s.workload_id, s.step_at
  ON CONFLICT (workload_id, step_at) DO UPDATE SET (layout_id, "values", states) = (
    SELECT m.layout_id, m.values, m.states FROM merge_indicator_steps(EXCLUDED.layout_id,
      EXCLUDED.values, EXCLUDED.states, i.layout_id, i.values, i.states) m);
  GET DIAGNOSTICS n_moved = ROW_COUNT;
  RETURN n_moved;
END
$$
"""
# what a process keeps of the steps it knows by these to be as it was
NOTE = """
CREATE FUNCTION note_indicator_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO indicator_changes (shard, first_at, last_at)
  SELECT w.shard, min(c.step_at), max(c.step_at)
  FROM changed c JOIN workloads w ON w.id = c.workload_id GROUP BY w.shard;
  RETURN NULL;
END
$$
"""
NOTE_ALL = """
CREATE FUNCTION note_all_indicators() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO indicator_changes (shard, first_at, last_at)
  SELECT DISTINCT shard, timestamptz '-infinity', timestamptz 'infinity' FROM workloads;
  RETURN NULL;
END
$$
"""
# an update by hand may change the key: the step as it was has changed too
NOTED = (("INSERT", "NEW"), ("UPDATE", "NEW"), ("UPDATE", "OLD"), ("DELETE", "OLD"))
STEPS = """
  SELECT s.workload_id, c.indicator, s.step_at,
         CASE WHEN get_byte(s.states, c.n::int - 1) & 4 = 4 THEN c.value END AS value,
         get_byte(s.states, c.n::int - 1) & 2 = 2 AS is_observed
  FROM indicator_steps s JOIN indicator_layouts l ON l.id = s.layout_id
  CROSS JOIN LATERAL unnest(l.names, s.values) WITH ORDINALITY AS c(indicator, value, n)
  WHERE get_byte(s.states, c.n::int - 1) > 0
"""
# a reader of dashboards may read the view as it could the table
READERS = """
DO $$
DECLARE reader text;
BEGIN
  FOR reader IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = 'indicator_values'::regclass AND a.privilege_type = 'SELECT' LOOP
    EXECUTE format('GRANT SELECT ON indicators TO %s', reader);
  END LOOP;
END
$$
"""
OLD_VALUES = "SELECT workload_id, indicator, step_at, value, is_observed FROM indicator_values"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.rename_table("indicators", "indicator_values")
    op.execute("ALTER INDEX pk_indicators RENAME TO pk_indicator_values")
    op.create_table(
        "indicator_layouts",
        sa.Column("id", sa.Integer(), sa.Identity(), primary_key=True),
        sa.Column("names", ARRAY(sa.Text()), nullable=False),
    )
    op.create_index(
        "ix_indicator_layouts_names", "indicator_layouts", ["names"], postgresql_using="hash"
    )
    op.create_table(
        "indicator_steps",
        sa.Column("workload_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("layout_id", sa.Integer(), nullable=False),
        sa.Column("step_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("values", ARRAY(sa.REAL()), nullable=False),
        sa.Column("states", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workload_id", "step_at"),
        # a reader of bytes relies on both
        sa.CheckConstraint(
            'cardinality("values") = octet_length(states) '
            'AND array_position("values", NULL) IS NULL',
            name="whole",
        ),
        postgresql_partition_by="RANGE (step_at)",
    )
    op.create_table(
        "indicator_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "xact",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
    )
    op.create_index("ix_indicator_changes_shard_xact", "indicator_changes", ["shard", "xact"])
    for function in (LAYOUT, STATE, MERGE, MOVE, WRITE, NOTE, NOTE_ALL):
        op.execute(function)
    for when, which in NOTED:
        op.execute(
            f"CREATE TRIGGER note_{when.lower()}_{which.lower()} AFTER {when} ON indicator_steps "
            f"REFERENCING {which} TABLE AS changed FOR EACH STATEMENT "
            "EXECUTE FUNCTION note_indicator_changes()"
        )
    op.execute(
        "CREATE TRIGGER note_truncate AFTER TRUNCATE ON indicator_steps FOR EACH STATEMENT "
        "EXECUTE FUNCTION note_all_indicators()"
    )
    before = _partitions("indicator_values")
    for name in before:
        _make_partition("indicator_steps", name.rsplit("_p", 1)[1])
    op.execute(f"CREATE VIEW indicators AS {STEPS}" + (f"UNION ALL {OLD_VALUES}" if before else ""))
    op.execute(READERS)
    op.execute(
        "CREATE TRIGGER write_indicator INSTEAD OF INSERT OR UPDATE OR DELETE ON indicators "
        "FOR EACH ROW EXECUTE FUNCTION write_indicator()"
    )


def downgrade() -> None:
    for name in _partitions("indicator_steps"):
        day = name.rsplit("_p", 1)[1]
        if f"indicators_p{day}" not in _partitions("indicator_values"):
            _make_partition("indicator_values", day, "indicators")
    op.execute(f"INSERT INTO indicator_values {STEPS}")
    op.execute("DROP VIEW indicators")
    op.drop_table("indicator_steps")
    op.drop_table("indicator_layouts")
    op.drop_table("indicator_changes")
    for function in (
        "note_indicator_changes",
        "note_all_indicators",
        "write_indicator",
        "move_indicator_values",
        "merge_indicator_steps",
        "indicator_state",
        "indicator_layout",
    ):
        op.execute(f"DROP FUNCTION {function}")
    op.rename_table("indicator_values", "indicators")
    op.execute("ALTER INDEX pk_indicator_values RENAME TO pk_indicators")


def _partitions(table: str) -> list[str]:
    query = (
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = to_regclass(:name) ORDER BY c.relname"
    )
    return list(op.get_bind().execute(sa.text(query), {"name": table}).scalars())


def _make_partition(table: str, day: str, name: str = "") -> None:
    first = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    until = first + timedelta(days=DAYS)
    made = f"{name or table}_p{day}"
    op.execute(f"CREATE TABLE {made} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    op.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {made} "
        f"FOR VALUES FROM ('{first.isoformat()}') TO ('{until.isoformat()}')"
    )
