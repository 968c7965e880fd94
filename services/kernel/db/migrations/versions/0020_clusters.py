"""Several clusters in one database: each row of a cluster's own says of which.

What was there is of the first cluster, `default`, and so is what the release before writes: it
knows of no cluster, so the column has a default, and the unique keys that its statements name stay
until a second cluster is added (`services.kernel.db.clusters.add_cluster`).

The views of the schema `cell` show the rows of one cluster, under the names of the tables: a
connection that has the schema in front reads and writes that cluster and no other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

SHARDS_PER_CLUSTER = 1048576
OF_A_CLUSTER = ("workloads", "gpu_budgets", "freezes", "operations")
CURRENT_CLUSTER = """
CREATE OR REPLACE FUNCTION current_cluster() RETURNS smallint STABLE LANGUAGE plpgsql AS $$
DECLARE
  wanted text := nullif(current_setting('harmony.cluster', true), '');
  answer smallint := 1;
BEGIN
  IF wanted IS NOT NULL THEN
    SELECT id INTO answer FROM clusters WHERE name = wanted;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'there is no cluster % in this database; add it: harmony cells add %',
        quote_literal(wanted), wanted;
    END IF;
  END IF;
  RETURN answer;
END
$$
"""
FORGET_SHARES = """
CREATE OR REPLACE FUNCTION forget_gpu_shares() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM gpu_shares s USING changed c
  WHERE s.gpu_type = c.gpu_type AND s.shard / 1048576 = c.cluster_id - 1;
  RETURN NULL;
END
$$
"""
FORGET_SHARES_BEFORE = """
CREATE OR REPLACE FUNCTION forget_gpu_shares() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM gpu_shares WHERE gpu_type IN (SELECT gpu_type FROM changed);
  RETURN NULL;
END
$$
"""
# of a posterior of one workload the workload must be seen; the others are beliefs of GPU types
POSTERIORS = """
CREATE VIEW cell.posteriors AS SELECT p.* FROM posteriors p
WHERE p.scope NOT LIKE 'workload:%' OR EXISTS (
  SELECT FROM cell.workloads w WHERE p.scope = 'workload:' || w.id
)
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "clusters",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("operator_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clusters")),
        sa.UniqueConstraint("name", name=op.f("uq_clusters_name")),
    )
    op.execute("INSERT INTO clusters (id, name, created_at) VALUES (1, 'default', now())")
    for table in (*OF_A_CLUSTER, "api_keys"):
        is_any = table == "api_keys"  # a key without a cluster is one for all of them
        first = sa.text("1")
        op.add_column(
            table,
            sa.Column("cluster_id", sa.SmallInteger(), nullable=is_any, server_default=first),
        )
        name = op.f(f"fk_{table}_cluster_id_clusters")
        op.create_foreign_key(name, table, "clusters", ["cluster_id"], ["id"])
    op.create_unique_constraint(
        op.f("uq_workloads_cluster_id_namespace_name"),
        "workloads",
        ["cluster_id", "namespace", "name"],
    )
    op.create_check_constraint(
        "shard_is_of_cluster", "workloads", f"shard / {SHARDS_PER_CLUSTER} = cluster_id - 1"
    )
    op.create_table(
        "cell_totals",
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("gpu_type", name=op.f("pk_cell_totals")),
    )
    op.create_table(
        "cell_budgets",
        sa.Column("cluster_id", sa.SmallInteger(), sa.ForeignKey("clusters.id"), nullable=False),
        sa.Column("gpu_type", sa.Text(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("held_gpus", sa.BigInteger(), nullable=False),
        sa.Column("price_usd_per_gpu_hour", sa.Double(), nullable=True),
        sa.Column("exchanged_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "gpu_type", name=op.f("pk_cell_budgets")),
    )
    op.drop_constraint("pk_gpu_budgets", "gpu_budgets")
    op.create_primary_key("pk_gpu_budgets", "gpu_budgets", ["cluster_id", "gpu_type"])
    op.create_unique_constraint("uq_gpu_budgets_gpu_type", "gpu_budgets", ["gpu_type"])
    op.execute(FORGET_SHARES)
    op.execute(CURRENT_CLUSTER)
    op.execute("CREATE SCHEMA cell")
    for table in OF_A_CLUSTER:
        op.execute(
            f"CREATE VIEW cell.{table} AS SELECT * FROM {table} "  # noqa: S608 - our tables
            "WHERE cluster_id = (SELECT current_cluster()) WITH CASCADED CHECK OPTION"
        )
        op.execute(f"ALTER VIEW cell.{table} ALTER COLUMN cluster_id SET DEFAULT current_cluster()")
    op.execute(POSTERIORS)


def downgrade() -> None:
    names = op.get_bind().execute(sa.text("SELECT name FROM clusters ORDER BY id")).scalars().all()
    if len(names) > 1:
        listed = ", ".join(names)
        raise RuntimeError(f"the revision before knows one cluster; this database has {listed}")
    op.execute("DROP SCHEMA cell CASCADE")
    op.execute("DROP FUNCTION current_cluster()")
    op.execute(FORGET_SHARES_BEFORE)
    for table in ("cell_budgets", "cell_totals"):
        op.drop_table(table)
    op.drop_constraint("uq_gpu_budgets_gpu_type", "gpu_budgets")
    op.drop_constraint("pk_gpu_budgets", "gpu_budgets")
    op.create_primary_key("pk_gpu_budgets", "gpu_budgets", ["gpu_type"])
    op.drop_constraint("shard_is_of_cluster", "workloads")
    op.drop_constraint("uq_workloads_cluster_id_namespace_name", "workloads")
    for table in (*OF_A_CLUSTER, "api_keys"):
        op.drop_column(table, "cluster_id")
    op.drop_table("clusters")
