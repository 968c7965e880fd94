"""Clusters in one database: what each sees, and writers of the release before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, text
from sqlalchemy.exc import DBAPIError

from services.decision.rows.lead_times import cause_scope, own_scope, type_scope
from services.kernel.db import clusters, schema
from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster, narrow, rename_cluster
from services.kernel.db.migrations import head_revision, migrate
from services.kernel.db.session import make_engine
from services.kernel.domain.lead_time import COLD
from services.kernel.errors import Conflict, InvalidInput, NotFound
from services.operator.reconcile.repository import register
from services.operator.stored.budgets_repository import BudgetRow, store_budgets

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 5, tzinfo=UTC)
OF_A_CLUSTER = ("workloads", "gpu_budgets", "freezes", "operations")
# as the release before wrote them
OLD_REGISTER = (
    "INSERT INTO workloads (id, namespace, name, shard, step_s, spec, created_at, updated_at) "
    "SELECT id, 'prod', :name, (id - 1) / 256, 60, '{}', :now, :now "
    "FROM (SELECT nextval(pg_get_serial_sequence('workloads', 'id'))::int AS id) fresh "
    "ON CONFLICT (namespace, name) DO NOTHING"
)
OLD_BUDGET = (
    "INSERT INTO gpu_budgets (gpu_type, gpus, source, reason, observed_at) "
    "VALUES ('H100', :gpus, 'GPUBudget/b', '', :now) ON CONFLICT (gpu_type) DO UPDATE SET "
    "gpus = EXCLUDED.gpus"
)
OLD_KEY = (
    "INSERT INTO api_keys (name, prefix, hash, role, created_at) "
    "VALUES ('ci', 'aa', 'h', 'viewer', :now)"
)


def row(name: str = "llama") -> dict[str, Any]:
    return {"namespace": "prod", "name": name, "step_s": 60, "spec": {}}


def found(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(each) for each in connection.execute(text(statement))]


def test_the_release_before_goes_on_writing_while_there_is_one_cluster(database: Engine) -> None:
    with database.begin() as connection:
        for _ in range(2):
            connection.execute(text(OLD_REGISTER), {"name": "llama", "now": AT})
            register(connection, [row(), row("mixtral")], 256, AT)
            connection.execute(text(OLD_REGISTER), {"name": "mixtral", "now": AT})
        for gpus in (4, 5):
            connection.execute(text(OLD_BUDGET), {"gpus": gpus, "now": AT})
            store_budgets(connection, [BudgetRow("H100", gpus + 10, "GPUBudget/b")], AT, AT)
        connection.execute(text(OLD_KEY), {"now": AT})
        assert found(connection, "SELECT cluster_id, name FROM workloads ORDER BY id") == [
            (1, "llama"),
            (1, "mixtral"),
        ]
        assert found(connection, "SELECT cluster_id, gpus FROM gpu_budgets") == [(1, 15)]
        assert found(connection, "SELECT cluster_id FROM api_keys") == [(1,)]


def test_a_database_with_rows_is_upgraded_and_goes_back(database: Engine) -> None:
    from alembic import command

    from services.kernel.db import migrations

    def go_back() -> None:
        config = migrations._config()
        with database.connect() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0017")
            connection.commit()

    go_back()
    with database.begin() as connection:
        connection.execute(text(OLD_REGISTER), {"name": "llama", "now": AT})
        connection.execute(text(OLD_BUDGET), {"gpus": 4, "now": AT})
        connection.execute(text(OLD_KEY), {"now": AT})
    assert migrate(database) == head_revision()
    with database.begin() as connection:
        for table in ("workloads", "gpu_budgets", "api_keys"):
            assert found(connection, f"SELECT cluster_id FROM {table}") == [(1,)], table
        names = "SELECT id, name, operator_seen_at FROM clusters"
        assert found(connection, names) == [(1, "default", None)]
    go_back()
    with database.begin() as connection:
        connection.execute(text(OLD_BUDGET), {"gpus": 6, "now": AT})
        assert found(connection, "SELECT gpu_type, gpus FROM gpu_budgets") == [("H100", 6)]
    migrate(database)
    with database.begin() as connection:
        add_cluster(connection, "other", AT)
    with pytest.raises(RuntimeError, match="knows one cluster; this database has default, other"):
        go_back()


def test_a_connection_of_one_cluster_reads_and_writes_no_other(
    database: Engine, database_url: str
) -> None:
    with database.begin() as connection:
        add_cluster(connection, "other", AT)
    engines = {name: make_engine(database_url, cluster=name) for name in ("default", "other")}
    for name, engine in engines.items():
        with engine.begin() as connection:
            register(connection, [row()], 256, AT)
            store_budgets(connection, [BudgetRow("H100", len(name), name)], AT, AT)
    for name, engine in engines.items():
        with engine.begin() as connection:
            assert found(connection, "SELECT source FROM gpu_budgets") == [(name,)]
            connection.execute(text("UPDATE workloads SET step_s = step_s + 1"))
            connection.execute(text("DELETE FROM gpu_budgets"))
    with database.connect() as connection:
        rows = found(connection, "SELECT cluster_id, shard, step_s FROM workloads ORDER BY id")
    assert rows == [(1, 0, 61), (2, SHARDS_PER_CLUSTER, 61)]


def test_a_row_cannot_be_written_into_another_cluster(database: Engine, database_url: str) -> None:
    with database.begin() as connection:
        add_cluster(connection, "other", AT)
    engine = make_engine(database_url, cluster="other")
    with pytest.raises(DBAPIError, match="check option"), engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO gpu_budgets (cluster_id, gpu_type, gpus, source, observed_at) "
                "VALUES (1, 'H100', 1, 'x', :now)"
            ),
            {"now": AT},
        )


def test_a_shard_is_of_one_cluster(database: Engine) -> None:
    with pytest.raises(DBAPIError, match="shard_is_of_cluster"), database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('a', 'b', :shard, 60, '{}', :now, :now)"
            ),
            {"shard": SHARDS_PER_CLUSTER, "now": AT},
        )
    for cluster_id in (1, 2, clusters.MOST):
        own = clusters.shards_of(cluster_id)
        assert {clusters.cluster_of(shard) for shard in (own[0], own[-1])} == {cluster_id}


def test_a_transaction_that_saw_one_cluster_leaves_nothing_behind(database: Engine) -> None:
    with database.begin() as connection:
        add_cluster(connection, "other", AT)
        register(connection, [row()], 256, AT)
    with database.connect() as connection:
        narrow(connection, "other")
        assert found(connection, "SELECT name FROM workloads") == []
        connection.rollback()
        assert found(connection, "SELECT name FROM workloads") == [("llama",)]


def test_what_a_cluster_sees_has_every_column(database: Engine) -> None:
    columns = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = '{}' "
        "AND table_name = '{}' ORDER BY ordinal_position"
    )
    with database.connect() as connection:
        for table in (*OF_A_CLUSTER, "posteriors"):
            shown = found(connection, columns.format("cell", table))
            assert shown == found(connection, columns.format("public", table)), table


def test_a_cluster_sees_every_belief_about_its_workloads(database: Engine) -> None:
    """Of a GPU type, of the starts of a cause: only those of a whole workload were seen."""
    with database.begin() as connection:
        add_cluster(connection, "other", AT)
        register(connection, [row()], 256, AT)
        ((mine,),) = found(connection, "SELECT id FROM workloads")
        every = [own_scope(mine), own_scope(mine, "H100")]
        every += [cause_scope(scope, COLD) for scope in every]
        foreign = [own_scope(int(f"{mine}1")), f"workload:{mine}1/H100", f"workload:{mine}x"]
        blank = {"kind": "lead_time", "status": "promoted", "n_observations": 4, "draws": None}
        blank |= {"summary": {}, "diagnostics": {}, "fitted_at": AT}
        for scope in [*every, *foreign, type_scope("H100")]:
            connection.execute(insert(schema.posteriors).values(blank | {"scope": scope}))
    seen = {}
    for name in ("default", "other"):
        with database.connect() as connection:
            narrow(connection, name)
            seen[name] = {scope for (scope,) in found(connection, "SELECT scope FROM posteriors")}
    assert seen == {"default": {*every, type_scope("H100")}, "other": {type_scope("H100")}}


def test_clusters_are_added_once_and_renamed(database: Engine) -> None:
    with database.begin() as connection:
        assert add_cluster(connection, "eu", AT).id == 2
        with pytest.raises(Conflict, match="there already"):
            add_cluster(connection, "eu", AT)
        with pytest.raises(InvalidInput, match="lower case"):
            add_cluster(connection, "EU", AT)
        rename_cluster(connection, "default", "us")
        with pytest.raises(Conflict, match="there already"):
            rename_cluster(connection, "us", "eu")
        with pytest.raises(NotFound, match="there are: us, eu"):
            rename_cluster(connection, "default", "x")
        assert [each.name for each in clusters.load_clusters(connection)] == ["us", "eu"]
