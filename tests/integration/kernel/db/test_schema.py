"""The migrations build what the schema says, and bulk writes keep the keys."""

from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from services.kernel.db.migrations import current_revision, head_revision, migrate
from services.kernel.db.partitions import (
    ensure_partitions,
)
from services.kernel.db.schema import PARTITIONED, metadata
from services.kernel.db.session import unit_of_work

AT = datetime(2026, 1, 5, tzinfo=UTC)
pytestmark = pytest.mark.integration


def test_migrations_equal_the_schema(database: Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        kinds = connection.execute(
            text("SELECT relname FROM pg_class WHERE relkind = 'p' ORDER BY relname")
        )
        assert {row[0] for row in kinds} == set(PARTITIONED)


def test_migrating_twice_changes_nothing(database: Engine) -> None:
    assert migrate(database) == head_revision() == current_revision(database)


def test_lists_in_time_order_have_an_index_in_old_and_new_partitions(database: Engine) -> None:
    with unit_of_work(database) as work:
        ensure_partitions(work.connection, "decisions", AT, AT)
        ensure_partitions(work.connection, "actions", AT, AT)
        ensure_partitions(work.connection, "outcomes", AT, AT)
        found = work.connection.execute(
            text("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema()")
        )
        by_table = [(r.tablename.partition("_p2")[0], r.indexdef) for r in found]
    for table, columns in (
        ("decisions", "(origin_at, id)"),
        ("actions", "(origin_at, id)"),
        ("outcomes", "(step_at, workload_id)"),
    ):
        n_with = sum(name == table and text_.endswith(columns) for name, text_ in by_table)
        assert n_with == 2, table


def test_migrations_go_back_and_forth(database: Engine) -> None:
    from alembic import command

    from services.kernel.db import migrations

    config = migrations._config()
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.commit()
    assert current_revision(database) == "0001"
    with database.begin() as connection:
        assert connection.execute(text("SELECT to_regclass('drift_states')")).scalar() is None
        connection.execute(text("DELETE FROM audit"))
    assert migrate(database) == head_revision()


def test_forecasts_made_before_further_loads_keep_their_rows(database: Engine) -> None:
    from alembic import command

    from services.kernel.db import migrations

    config = migrations._config()
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0010")
        connection.commit()
    add = (
        "INSERT INTO forecasts (id, origin_at, workload_id, model_version, rung, step_s, "
        "n_horizon, quantile_levels, quantiles, n_paths, paths, path_scale, created_at) "
        "VALUES (1, :at, 1, 'flow-1', 'model', 60, 1, '{0.5}', '{{7}}', 1, :paths, 7, :at)"
    )
    with unit_of_work(database) as work:
        ensure_partitions(work.connection, "forecasts", AT, AT)
        work.connection.execute(text(add), {"at": AT, "paths": b"\x00\x3c"})
        before = work.connection.execute(text("SELECT * FROM forecasts")).mappings().one()
    assert migrate(database) == head_revision()
    with database.connect() as connection:
        after = connection.execute(text("SELECT * FROM forecasts")).mappings().one()
    added = dict.fromkeys(
        ("further_names", "further_paths", "further_scales", "packed_paths", "measured_by")
    )
    assert dict(after) == {**before, **added}


def test_scores_of_before_unknown_last_values_keep_their_rows(database: Engine) -> None:
    from alembic import command

    from services.kernel.db import migrations

    config = migrations._config()
    add = text(
        "INSERT INTO forecast_scores (forecast_id, origin_at, workload_id, model_version, n_steps, "
        "crps, pinball, coverage, crps_last_value, scored_at) "
        "VALUES (:id, :at, 1, 'flow-1', 12, 0.5, '{}', '{}', :last, :at)"
    )
    with unit_of_work(database) as work:
        ensure_partitions(work.connection, "forecast_scores", AT, AT)
        work.connection.execute(add, {"id": 1, "at": AT, "last": 0.0})
        work.connection.execute(add, {"id": 2, "at": AT, "last": None})
    scores = text("SELECT crps_last_value FROM forecast_scores ORDER BY forecast_id")
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0035")
        connection.commit()
    with database.connect() as connection:
        assert connection.scalars(scores).all() == [0, 0]
    assert migrate(database) == head_revision()
    with database.begin() as connection:
        connection.execute(add, {"id": 3, "at": AT, "last": None})
        assert connection.scalars(scores).all() == [0, 0, None]


def test_supplies_of_before_headroom_keep_their_rows(database: Engine) -> None:
    from alembic import command

    from services.kernel.db import migrations

    config = migrations._config()
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0028")
        connection.commit()
    add = (
        "INSERT INTO gpu_supply (gpu_type, ceiling, reason, message, node_gpus, asked_gpus, "
        "startup_median_s, startup_sigma, n_startups, n_refused, observed_at) "
        "VALUES ('H100', 64, 'CeilingSet', '', 16, 8, 300, 0.5, 0, 0, now())"
    )
    with database.begin() as connection:
        connection.execute(text(add))
    assert migrate(database) == head_revision()
    columns = "gpu_type, ceiling, gpus_per_node, headroom_risk, headroom_mode"
    with database.connect() as connection:
        connection.execute(text("SET LOCAL search_path = cell, public"))
        connection.execute(text("SET LOCAL harmony.cluster = 'default'"))
        rows = connection.execute(text(f"SELECT {columns} FROM gpu_supply")).all()
        assert connection.execute(text("SELECT * FROM gpu_headroom")).all() == []
    assert rows == [("H100", 64, None, None, None)]


def test_snapshots_of_before_spot_nodes_keep_their_rows(database: Engine) -> None:
    from alembic import command

    from services.kernel.db import migrations

    config = migrations._config()
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0030")
        connection.commit()
    add = (
        "INSERT INTO replica_states (workload_id, observed_at, spec_replicas, ready_replicas, "
        "starting_replicas, pending_replicas, start_ages_s) VALUES (1, :at, 4, 3, 1, 0, '{5}')"
    )
    with unit_of_work(database) as work:
        ensure_partitions(work.connection, "replica_states", AT, AT)
        work.connection.execute(text(add), {"at": AT})
        before = work.connection.execute(text("SELECT * FROM replica_states")).mappings().one()
    assert migrate(database) == head_revision()
    with database.connect() as connection:
        after = connection.execute(text("SELECT * FROM replica_states")).mappings().one()
        connection.execute(text("SET LOCAL search_path = cell, public"))
        connection.execute(text("SET LOCAL harmony.cluster = 'default'"))
        assert connection.execute(text("SELECT * FROM gpu_interruptions")).all() == []
    added = dict.fromkeys(("spot_replicas", "spot_nodes", "leaving_replicas"))
    assert dict(after) == {**before, **added}
