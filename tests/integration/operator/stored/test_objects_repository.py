"""Which objects workloads follow, and what these say by themselves, as they are stored."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.operator.stored import objects_repository as repository
from tests.integration.decision.stored_rows import NOW, add_workload

pytestmark = pytest.mark.integration


def test_each_workload_follows_the_object_that_it_is_told_of(database: Engine) -> None:
    ids = [add_workload(database, name) for name in ("a", "b", "c")]
    query = text("SELECT object_uid FROM workloads ORDER BY id")
    with database.begin() as connection:
        repository.store_objects(connection, {ids[0]: "one", ids[2]: "other"})
        assert list(connection.execute(query).scalars()) == ["one", None, "other"]


def test_what_an_object_says_is_stored_and_forgotten_by_workload(database: Engine) -> None:
    ids = [add_workload(database, name) for name in ("a", "b", "c")]
    query = text("SELECT object_spec FROM workloads ORDER BY id")
    with database.begin() as connection:
        repository.store_object_specs(connection, {ids[0]: b'{"x": 1}', ids[1]: b'{"x": 2}'})
        assert list(connection.execute(query).scalars()) == [{"x": 1}, {"x": 2}, None]
        repository.store_object_specs(connection, {ids[0]: None, ids[2]: b'{"x": 3}'})
        assert list(connection.execute(query).scalars()) == [None, {"x": 2}, {"x": 3}]


def test_a_workload_that_is_taken_over_follows_its_object_from_then_on(database: Engine) -> None:
    ids = [add_workload(database, name) for name in ("a", "b")]
    query = text("SELECT managed_by FROM workloads ORDER BY id")
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET managed_by = 'api'"))
        repository.adopt(connection, [], NOW)
        repository.adopt(connection, ids[1:], NOW)
        assert list(connection.execute(query).scalars()) == ["api", "kubernetes"]
