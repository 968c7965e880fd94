"""Requests in flight are known of a workload that was read lately, and of no other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert

from services.kernel.db import schema
from services.operator.stored.in_flight_repository import load_in_flight
from tests.unit.operator.examples import NOW

pytestmark = pytest.mark.integration


def test_readings_of_lately_are_known(database: Engine) -> None:
    workload = {
        "namespace": "serving", "name": "llama", "shard": 0, "step_s": 60, "spec": {},
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    with database.begin() as connection:
        made = insert(schema.workloads).values(workload).returning(schema.workloads.c.id)
        id_ = int(connection.execute(made).scalar_one())
        row = {"workload_id": id_, "by_pod": {"a": 2.5}, "observed_at": NOW}
        connection.execute(insert(schema.metadata.tables["pod_requests"]).values(row))
        assert load_in_flight(connection, [id_, id_ + 1], NOW) == {id_: {"a": 2.5}}
        assert load_in_flight(connection, [id_], NOW + timedelta(seconds=1)) == {}
        assert load_in_flight(connection, [id_ + 1], NOW) == {}
