"""Replicas of what somebody else scales, as they report them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.partitions import forget_partitions
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.registration.rest_workload import BODY, send
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
PATH = "/v1/workloads/lab/chat"
REPLICAS = f"{PATH}/replicas"
REPORT = {"replicas": 5, "ready": 3, "starting_ages_s": [30.0, 4.5]}


@pytest.fixture
def made(admin: AppClient) -> AppClient:
    assert send(admin, "POST", "/v1/workloads", BODY).status_code == 201
    return admin


def stored(database: Engine) -> list[tuple[object, ...]]:
    statement = text(
        "SELECT spec_replicas, ready_replicas, starting_replicas, start_ages_s, observed_at "
        "FROM replica_states r JOIN workloads w ON w.id = r.workload_id "
        "WHERE w.namespace = 'lab' ORDER BY observed_at"
    )
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def test_a_report_is_what_the_workload_has(made: AppClient, database: Engine) -> None:
    answer = send(made, "POST", REPLICAS, REPORT)
    assert answer.status_code == 200
    assert answer.json() | {"observed_at": None} == REPORT | {"observed_at": None}
    assert stored(database) == [(5, 3, 2, [30.0, 4.5], NOW)]
    shown = made.get(PATH).json()
    assert (shown["replicas"]["spec"], shown["replicas"]["ready"]) == (5, 3)


def test_the_first_report_of_all_finds_no_partition_and_makes_it(
    made: AppClient, database: Engine
) -> None:
    partitions = text(
        "SELECT inhrelid::regclass::text FROM pg_inherits "
        "WHERE inhparent = 'replica_states'::regclass"
    )
    with database.begin() as connection:
        for name in connection.execute(partitions).scalars().all():
            connection.execute(text(f"DROP TABLE {name}"))
    forget_partitions(database)
    assert send(made, "POST", REPLICAS, REPORT).status_code == 200
    assert len(stored(database)) == 1


def test_the_first_report_of_a_time_stays(made: AppClient, database: Engine) -> None:
    at = (NOW - timedelta(minutes=1)).isoformat()
    for replicas in (5, 9):
        report = REPORT | {"replicas": replicas, "observed_at": at}
        answer = send(made, "POST", REPLICAS, report)
        # what is stored, not what was said
        assert (answer.status_code, answer.json()["replicas"]) == (200, 5)
    ((replicas, *_, seen_at),) = stored(database)
    assert (replicas, seen_at) == (5, NOW - timedelta(minutes=1))


@pytest.mark.parametrize("offset", [timedelta(hours=2), -timedelta(days=2)])
def test_a_time_must_be_near(made: AppClient, database: Engine, offset: timedelta) -> None:
    answer = send(made, "POST", REPLICAS, REPORT | {"observed_at": (NOW + offset).isoformat()})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert "within the last day" in answer.json()["detail"]
    assert stored(database) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"replicas": -1},
        {"ready": None},
        {"ready": 10**9},
        {"starting_ages_s": [-1.0]},
        {"starting_ages_s": [1.0] * 1001},
        {"observed_at": "2026-01-05T00:00:00"},
        {"pods": 3},
    ],
)
def test_what_is_no_report_is_refused(made: AppClient, wrong: dict[str, object]) -> None:
    assert send(made, "POST", REPLICAS, REPORT | wrong).status_code == 422


def test_the_operators_own_and_what_is_not_there(made: AppClient) -> None:
    ours = send(made, "POST", "/v1/workloads/llm-prod/llama-70b-chat/replicas", REPORT)
    assert (ours.status_code, ours.json()["code"]) == (409, "conflict")
    assert "read from the cluster" in ours.json()["detail"]
    assert send(made, "POST", "/v1/workloads/lab/none/replicas", REPORT).status_code == 404
    assert send(made, "DELETE", PATH, **{"If-Match": "*"}).status_code == 204
    assert send(made, "POST", REPLICAS, REPORT).status_code == 404


def test_who_may_report(made: AppClient, anonymous: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        keys = [
            create_key(connection, name, role, NOW, None, [namespace])
            for name, role, namespace in (
                *(("own", Role.OPERATOR, "lab"), ("reader", Role.VIEWER, "lab")),
                ("other", Role.OPERATOR, "team"),
            )
        ]
    codes = [
        send(anonymous, "POST", REPLICAS, REPORT, Authorization=f"Bearer {key.token}").status_code
        for key in keys
    ]
    assert codes == [200, 403, 403]
    assert send(anonymous, "POST", REPLICAS, REPORT).status_code == 401
