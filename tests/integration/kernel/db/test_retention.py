"""Rows that have had their time; what serves and what is open stays however old it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, select, text

from services.kernel.db import schema, schema_control
from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.retention import EXPIRING, delete_expired

pytestmark = pytest.mark.integration
OLD = datetime(2026, 1, 5, tzinfo=UTC)
BEFORE, YOUNG = OLD + timedelta(days=10), OLD + timedelta(days=110)
MANUAL = Path(__file__).parents[4] / "docs" / "operations.md"

Insert = Callable[..., None]
MODEL: dict[str, Any] = {"kind": "flow", "config": {}, "metrics": {}, "artifact": b"weights"}
OPERATION: dict[str, Any] = {"kind": "backtest", "params": {"workloads": ["shop/w0"]}}
FIT: dict[str, Any] = {"kind": "misses", "n_observations": 9, "diagnostics": {}, "draws": b"x"}


@pytest.fixture
def insert(database: Engine) -> Insert:
    def add(table: Table, row: dict[str, Any]) -> None:
        with database.begin() as connection:
            connection.execute(table.insert().values(**row))

    return add


@pytest.fixture
def workload_ids(insert: Insert) -> tuple[int, int]:
    """An active workload and one that has left."""
    for id_, is_active in ((1, True), (2, False)):
        row = {"id": id_, "namespace": "shop", "name": f"w{id_}", "shard": 0, "step_s": 60}
        times = {"created_at": OLD, "updated_at": OLD}
        insert(schema.workloads, row | times | {"spec": {}, "is_active": is_active})
    return 1, 2


def expire(database: Engine) -> dict[str, int]:
    with database.begin() as connection:
        return {table.name: delete_expired(connection, table, BEFORE) for table in EXPIRING}


def stored(database: Engine, table: Table, column: str) -> set[Any]:
    with database.connect() as connection:
        return set(connection.scalars(select(table.c[column])))


def test_models_end_but_what_serves_or_would_serve_stays(database: Engine, insert: Insert) -> None:
    models = schema.models
    for row in (
        {"version": "failed", "status": "failed"},
        {"version": "shadow", "status": "shadow"},
        {"version": "picks", "status": "shadow", "metrics": {"picks": {"shop/w0": "last"}}},
        {"version": "older", "status": "retired", "retired_at": OLD},
        {"version": "before", "status": "retired", "retired_at": OLD + timedelta(days=1)},
        {"version": "serving", "status": "promoted", "promoted_at": OLD},
        {"version": "training", "status": "training"},
        {"version": "served until lately", "status": "retired", "retired_at": YOUNG},
        {"version": "new", "status": "shadow", "created_at": YOUNG},
    ):
        insert(models, MODEL | {"created_at": OLD} | row)
    assert expire(database)["models"] == 4
    left = {"picks", "serving", "training", "served until lately", "new"}
    assert stored(database, models, "version") == left


def test_the_model_to_roll_back_to_and_the_newest_fit_stay_however_old(
    database: Engine, insert: Insert
) -> None:
    for version, day, more in (
        ("first", 0, {"status": "retired", "retired_at": OLD}),
        ("second", 1, {"status": "retired", "retired_at": OLD + timedelta(days=1)}),
        ("third", 2, {"status": "promoted"}),
        ("newest", 3, {"status": "failed", "artifact": None}),
    ):
        created = {"version": version, "created_at": OLD + timedelta(days=day)}
        insert(schema.models, MODEL | created | more)
    expire(database)
    assert stored(database, schema.models, "version") == {"second", "third", "newest"}


def test_states_of_models_that_are_gone_end_with_them(
    database: Engine, insert: Insert, workload_ids: tuple[int, int]
) -> None:
    workload_id, _ = workload_ids
    insert(schema.models, MODEL | {"version": "a", "status": "promoted", "created_at": OLD})
    for table in (schema.calibration_states, schema.drift_states):
        for version, at in (("a", OLD), ("gone", OLD), ("best-simple", YOUNG)):
            row = {"workload_id": workload_id, "model_version": version, "updated_at": at}
            insert(table, row | {"state": {}})
    expire(database)
    for table in (schema.calibration_states, schema.drift_states):
        assert stored(database, table, "model_version") == {"a", "best-simple"}


def test_of_each_scope_the_newest_posterior_stays(database: Engine, insert: Insert) -> None:
    fits = (
        (1, "a", "promoted", 0, "pymc"),  # replaced
        (2, "a", "promoted", 1, "pymc"),  # serves, though newer ones were rejected
        (3, "a", "rejected", 2, "pymc"),  # no longer the newest verdict
        (4, "a", "rejected", 3, "pymc"),
        (5, "b", "promoted", 0, "pymc"),  # the last fit of another method stays beside a newer one
        (6, "b", "promoted", 1, "particles"),
        (7, "c", "promoted", 0, None),  # replaced by a young one
        (8, "c", "promoted", 110, None),
    )
    for id_, scope, status, day, method in fits:
        summary = {} if method is None else {"method": method}
        more = {"id": id_, "scope": scope, "status": status, "summary": summary}
        insert(schema.posteriors, FIT | more | {"fitted_at": OLD + timedelta(days=day)})
    expire(database)
    assert stored(database, schema.posteriors, "id") == {2, 4, 5, 6, 8}


def test_freezes_end_once_they_were_over_for_long(database: Engine, insert: Insert) -> None:
    row = {"direction": "Both", "created_by": "ada", "created_at": OLD, "from_at": OLD}
    for reason, until_at, lifted_at in (
        ("over", OLD, None),
        ("over lately", YOUNG, None),
        ("lifted", YOUNG, OLD),
        ("lifted lately", YOUNG, YOUNG),
    ):
        times = {"until_at": until_at, "lifted_at": lifted_at}
        insert(schema_control.freezes, row | times | {"reason": reason})
    assert expire(database)["freezes"] == 2
    assert stored(database, schema_control.freezes, "reason") == {"over lately", "lifted lately"}


def test_pods_that_are_there_stay(
    database: Engine, insert: Insert, workload_ids: tuple[int, int]
) -> None:
    active, left = workload_ids
    for uid, workload_id, gone_at in (
        ("gone", active, OLD),
        ("gone lately", active, YOUNG),
        ("there", active, None),
        ("lost sight of", left, None),
    ):
        row = {"pod_uid": uid, "workload_id": workload_id, "gone_at": gone_at}
        insert(
            schema.pod_starts,
            row | {"gpu_type": "H100", "requested_at": OLD, "observed_at": gone_at or OLD},
        )
    expire(database)
    assert stored(database, schema.pod_starts, "pod_uid") == {"gone lately", "there"}


def test_killed_pods_go_when_they_are_old(
    database: Engine, insert: Insert, workload_ids: tuple[int, int]
) -> None:
    table = schema.metadata.tables["killed_pods"]
    for uid, at in (("old", OLD), ("young", YOUNG)):
        row = {"pod_uid": uid, "workload_id": workload_ids[0], "pod": uid, "decision_id": 1}
        insert(table, row | {"grace_s": 30.0, "told_at": at, "killed_at": at})
    expire(database)
    assert stored(database, table, "pod_uid") == {"young"}


def test_absences_that_are_over_go_when_they_are_old(
    database: Engine, insert: Insert, workload_ids: tuple[int, int]
) -> None:
    table = schema.metadata.tables["workload_absences"]
    active, left = workload_ids
    insert(table, {"workload_id": active, "left_at": OLD, "back_at": OLD + timedelta(days=1)})
    insert(table, {"workload_id": active, "left_at": OLD + timedelta(days=2), "back_at": YOUNG})
    insert(table, {"workload_id": left, "left_at": OLD, "back_at": None})
    assert expire(database)["workload_absences"] == 1
    assert stored(database, table, "back_at") == {YOUNG, None}


def test_open_operations_stay(database: Engine, insert: Insert) -> None:
    for id_, status, finished_at in (
        (1, "succeeded", OLD),
        (2, "failed", OLD),
        (3, "cancelled", YOUNG),
        (4, "queued", None),
        (5, "running", None),
    ):
        times = {"created_at": OLD, "finished_at": finished_at}
        row = OPERATION | times | {"status": status, "created_by": "key:ops"}
        with database.begin() as connection:
            connection.execute(schema_control.operations.insert().values(**row))
            assert connection.scalar(text("SELECT max(id) FROM operations")) == id_
    expire(database)
    assert stored(database, schema_control.operations, "id") == {3, 4, 5}


def test_the_newest_request_for_a_fit_stays(database: Engine, insert: Insert) -> None:
    for day in range(3):
        row = {"model_version": str(day), "n_drifted": 1, "n_watched": 2, "reason": "drift"}
        insert(schema.refit_requests, row | {"requested_at": OLD + timedelta(days=day)})
    assert expire(database)["refit_requests"] == 2
    assert stored(database, schema.refit_requests, "model_version") == {"2"}


def test_shares_that_nobody_reads_end_with_their_marks(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("INSERT INTO gpu_share_marks (shard) VALUES (1), (2), (3)"))
    with database.begin() as connection:
        seen_in = connection.scalar(text("SELECT pg_current_snapshot()::text"))
        share = schema.metadata.tables["gpu_shares"].insert()
        times = ((1, OLD, seen_in), (2, YOUNG, seen_in), (3, YOUNG, "2:2:"))
        for shard, good_until, seen in times:
            row = {"gpu_type": "H100", "shard": shard, "policy_version": "p", "held_gpus": 1}
            row |= {"demand_gpus": [1], "seen_in": seen, "good_until": good_until}
            connection.execute(share.values(**row))
    assert expire(database)["gpu_shares"] == 1
    assert stored(database, schema.metadata.tables["gpu_shares"], "shard") == {2, 3}
    # that of the third is not seen by its share yet
    assert stored(database, schema.metadata.tables["gpu_share_marks"], "shard") == {3}


def test_the_query_of_the_manual_says_which_tables_are_large(database: Engine) -> None:
    with database.begin() as connection:
        for table in ("decisions", "forecasts"):
            ensure_partitions(connection, table, OLD, OLD)
        blocks = MANUAL.read_text().split("```sql\n")[1:]
        (query,) = (b.split("```")[0] for b in blocks if "bytes_per_row" in b.split("```")[0])
        found = connection.execute(text(query)).mappings().all()
    assert {"decisions", "forecasts", "models"} <= {row["table"] for row in found}
    assert set(found[0]) == {"table", "size", "bytes_per_row"}
