"""Rows of one cell in a real database."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.admin.cells import repository
from services.kernel.db.clusters import add_cluster, narrow
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_a_connection_of_another_cluster_finds_nothing(database: Engine) -> None:
    with database.begin() as connection:
        add_cluster(connection, "other", NOW)
        assert repository.load_decided(connection, NOW)["n_workloads"] == 3
        assert repository.load_used(connection, NOW) != []
        narrow(connection, "other")
        assert repository.load_decided(connection, NOW)["n_workloads"] == 0
        assert repository.load_used(connection, NOW) == []


@pytest.mark.usefixtures("seeded")
def test_pools_and_variants_count_by_the_type_of_each(database: Engine) -> None:
    with database.begin() as connection:
        parts = '[{"name": "a", "gpu_type": "L4", "gpus_per_replica": 2}, {"name": "b"}]'
        connection.execute(
            text(
                "UPDATE workloads SET spec = spec || jsonb_build_object('variants', "
                "CAST(:parts AS jsonb)) WHERE id = 1"
            ),
            {"parts": parts},
        )
        connection.execute(
            text(
                "UPDATE replica_states SET variants = "
                '\'{"a": {"spec": 3}, "b": {"spec": 1}}\' WHERE workload_id = 1'
            )
        )
        by_type = {
            row["gpu_type"]: row["used_gpus"] for row in repository.load_used(connection, NOW)
        }
    assert by_type["L4"] == 6


@pytest.mark.usefixtures("seeded")
def test_a_part_that_the_snapshot_does_not_know_is_unknown(database: Engine) -> None:
    with database.begin() as connection:
        parts = '[{"name": "a", "gpu_type": "L4", "gpus_per_replica": 2}]'
        connection.execute(
            text(
                "UPDATE workloads SET spec = spec || jsonb_build_object('variants', "
                "CAST(:parts AS jsonb)) WHERE id = 1"
            ),
            {"parts": parts},
        )
        (found,) = (row for row in repository.load_used(connection, NOW) if row["gpu_type"] == "L4")
    assert (found["is_unmeasured"], found["used_gpus"]) == (True, None)


@pytest.mark.usefixtures("seeded")
def test_a_count_that_was_spoilt_by_hand_counts_as_left_out(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET spec = spec - 'gpus_per_replica'"))
        left_out = repository.load_used(connection, NOW)
        connection.execute(
            text('UPDATE workloads SET spec = spec || \'{"gpus_per_replica": "many"}\'')
        )
        assert repository.load_used(connection, NOW) == left_out


def test_parts_are_those_of_the_cluster(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO cell_budgets VALUES (1, 'H100', 5, 3, NULL, :now)"), {"now": NOW}
        )
        assert repository.load_parts(connection, 1) == {"H100": 5}
        assert repository.load_parts(connection, 2) == {}
