"""The rows of `gpu_supply`, and node start-ups from `pod_starts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from services.kernel.db import schema
from services.kernel.db.session import unit_of_work
from services.operator.plan.provisioning import NodeWaits, Provisioning, attempt, learn_startup
from services.operator.plan.supply import GpusInUse, Resolved, TypeSupply
from services.operator.stored import supply_repository as repository
from services.operator.stored.supply_repository import Confirming
from tests.unit.operator.examples import NOW

pytestmark = pytest.mark.integration

LAW = learn_startup(120.0)
TABLE = schema.metadata.tables["gpu_supply"]


def supply(gpu_type: str, ceiling: int | None, state: Provisioning | None = None) -> TypeSupply:
    resolved = Resolved(ceiling, "Detected", "why")
    return TypeSupply(gpu_type, resolved, GpusInUse(8, 4, 16), state or Provisioning(), LAW)


def store(engine: Engine, *supplies: TypeSupply, at: datetime = NOW) -> dict[str, dict[str, Any]]:
    with unit_of_work(engine) as work:
        times = Confirming(at - timedelta(seconds=30), at)
        repository.store_supplies(work.connection, supplies, times)
    with engine.connect() as connection:
        rows = connection.execute(select(TABLE)).mappings()
        return {row["gpu_type"]: dict(row) for row in rows}


def test_rows_follow_what_was_seen(database: Engine) -> None:
    rows = store(database, supply("H100", 64), supply("L4", None))
    assert rows.keys() == {"H100", "L4"}
    assert (rows["H100"]["ceiling"], rows["H100"]["asked_gpus"]) == (64, 12)
    rows = store(database, supply("H100", 32))
    assert rows.keys() == {"H100"}
    assert rows["H100"]["ceiling"] == 32
    assert store(database) == {}


def test_a_row_that_did_not_change_is_confirmed_seldom(database: Engine) -> None:
    store(database, supply("H100", 64))
    soon, later = NOW + timedelta(seconds=10), NOW + timedelta(seconds=40)
    assert store(database, supply("H100", 64), at=soon)["H100"]["observed_at"] == NOW
    assert store(database, supply("H100", 64), at=later)["H100"]["observed_at"] == later


def test_a_state_comes_back_as_it_was(database: Engine) -> None:
    state = Provisioning(2, NOW, NOW + timedelta(seconds=60), why="no capacity")
    store(database, supply("H100", 64, state))
    tried = attempt(state, LAW, NOW + timedelta(seconds=90))
    with unit_of_work(database) as work:
        assert repository.load_states(work.connection) == {"H100": state}
        repository.store_attempt(work.connection, "H100", tried)
        assert repository.load_states(work.connection) == {"H100": tried}


@dataclass(frozen=True)
class Waited:
    """A pod that waited for a node, in seconds after `NOW`; None: not yet, or not known."""

    bound_s: float | None = None
    asked_s: float = 0.0
    refused_s: float | None = None
    gone_s: float | None = None
    is_new_node: bool | None = None


def store_starts(engine: Engine, **pods: Waited) -> None:
    def at(seconds: float | None) -> datetime | None:
        return None if seconds is None else NOW + timedelta(seconds=seconds)

    workload = {
        "namespace": "serving", "name": "llama", "shard": 0, "step_s": 60, "spec": {},
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    statement = insert(schema.workloads).values(workload).returning(schema.workloads.c.id)
    with engine.begin() as connection:
        id_ = connection.execute(statement).scalar_one()
        rows = [
            {
                "pod_uid": uid, "workload_id": id_, "gpu_type": "H100", "observed_at": NOW,
                "requested_at": at(pod.asked_s), "bound_at": at(pod.bound_s),
                "refused_at": at(pod.refused_s), "gone_at": at(pod.gone_s),
                "is_new_node": pod.is_new_node,
            }
            for uid, pod in pods.items()
        ]  # fmt: skip
        connection.execute(insert(schema.pod_starts), rows)


def waits(engine: Engine, later: timedelta) -> Mapping[str, NodeWaits]:
    with engine.connect() as connection:
        return repository.load_waits(connection, NOW + later)


def test_start_ups_are_those_of_new_nodes(database: Engine) -> None:
    store_starts(
        database,
        new=Waited(90, is_new_node=True),
        old=Waited(5, is_new_node=False),
        unknown=Waited(7),
    )
    assert waits(database, timedelta(hours=1)) == {"H100": NodeWaits((90.0,))}
    assert waits(database, timedelta(days=31)) == {}


def test_a_wait_counts_until_it_is_known_that_no_node_can_be_had(database: Engine) -> None:
    """Of those that were over together the longest; of what waits still nothing is known."""
    store_starts(
        database,
        came_at_last=Waited(9000, refused_s=400, is_new_node=True),
        refused_with_it=Waited(asked_s=100, refused_s=400),
        then_on_a_free_gpu=Waited(7000, refused_s=500, is_new_node=False),
        of_a_refused_attempt=Waited(asked_s=1000, refused_s=1000, gone_s=1500),
        of_an_attempt=Waited(2060, asked_s=2000, is_new_node=True),
        went=Waited(gone_s=120),
        went_with_it=Waited(asked_s=60, gone_s=120),
        went_from_a_free_gpu=Waited(1, gone_s=4000, is_new_node=False),
        waits=Waited(),
    )
    found = waits(database, timedelta(hours=3))
    assert found == {"H100": NodeWaits((60.0,), (120.0, 400.0, 500.0))}


def test_many_waits_in_vain_leave_those_that_ended(database: Engine) -> None:
    vain = {f"vain{n}": Waited(gone_s=9000 + n) for n in range(250)}
    store_starts(database, came=Waited(60, is_new_node=True), **vain)
    found = waits(database, timedelta(hours=3))["H100"]
    assert found.ended == (60.0,)
    assert (len(found.unended), min(found.unended)) == (200, 9050.0)


def test_counts_and_texts_that_no_column_holds_fail_nothing(database: Engine) -> None:
    """Pods may ask for any number, and pools have a limit that is meant as none."""
    resolved = Resolved(10**12, "Detected", "a\0b")
    huge = TypeSupply("H100", resolved, GpusInUse(2**31, 2**40, 16), Provisioning(why="\0"), LAW)
    row = store(database, huge, supply("L4", 64))["H100"]
    assert (row["ceiling"], row["asked_gpus"], row["node_gpus"]) == (2**31 - 1, 2**31 - 1, 16)
    assert (row["message"], row["refusal"]) == ("ab", "")
