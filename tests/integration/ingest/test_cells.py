"""Samples are taken for the cluster of the key that sends them, whichever has the same names."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, text

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.kernel.clock import FixedClock
from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster
from services.kernel.db.session import make_engine
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role, create_key
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, request
from tests.integration.ingest.pushes import RATE, T0, at_s, body
from tests.unit.ingest.remote_requests import V1, body_v1, indicator

pytestmark = pytest.mark.integration
PUSH, WRITE = "/v1/observations", "/api/v1/write"


@pytest.fixture
def app(database: Engine, clock: FixedClock, register: Register, settings: Settings) -> FastAPI:
    """A push API of `default`; `shop/w0` is in `default` (id 1) and in `other` (id 2)."""
    with database.begin() as connection:
        add_cluster(connection, "other", clock.now())
    register()
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at, cluster_id) SELECT namespace, name, :shard, step_s, spec, created_at, "
                "updated_at, 2 FROM workloads"
            ),
            {"shard": SHARDS_PER_CLUSTER},
        )
    ours = settings.model_copy(update={"push_token": SecretStr("t" * 32)})
    engine = make_engine(settings.database_url, cluster="default")
    return make_app(IngestDeps(engine, clock, RecordingSender(), ours))


@pytest.fixture
def keys(database: Engine, clock: FixedClock) -> dict[str, str]:
    """Credentials by where they may write."""
    with database.begin() as connection:

        def made(name: str, cluster_id: int | None, namespaces: list[str] | None) -> str:
            now, role = clock.now(), Role.OPERATOR
            return create_key(connection, name, role, now, None, namespaces, cluster_id).token

        return {
            "token": "t" * 32,
            "default": made("default", 1, None),
            "other": made("other", 2, None),
            "every": made("every", None, None),
            "other/shop": made("other/shop", 2, ["shop"]),
            "other/else": made("other/else", 2, ["else"]),
        }


CASES = [
    # who sends, ?cluster=, which workload the sample becomes one of (None: refused)
    ("token", "", 1),
    ("token", "default", 1),
    ("token", "other", None),
    ("default", "", 1),
    ("default", "other", None),
    ("other", "", 2),
    ("other", "other", 2),
    ("other", "default", None),
    ("other", "nowhere", None),
    ("every", "", 1),
    ("every", "default", 1),
    ("every", "other", 2),
]


@pytest.mark.parametrize(("who", "named", "workload_id"), CASES)
def test_a_push_is_for_the_cluster_of_its_key(
    app: FastAPI,
    keys: dict[str, str],
    database: Engine,
    who: str,
    named: str,
    workload_id: int | None,
) -> None:
    content = body(("w0", RATE, [[at_s(0), 7.0]]))
    answer = send(app, PUSH, keys[who], named, content)
    assert answer == (403 if workload_id is None else 202)
    assert stored(database) == ([] if workload_id is None else [workload_id])


@pytest.mark.parametrize(
    ("who", "named", "workload_id"), [*CASES, ("other/shop", "", 2), ("other/else", "", None)]
)
def test_a_remote_write_is_for_the_cluster_of_its_key(
    app: FastAPI,
    keys: dict[str, str],
    database: Engine,
    who: str,
    named: str,
    workload_id: int | None,
) -> None:
    content = body_v1((indicator(RATE), [(round(T0.timestamp() * 1000), 7.0)]))
    answer = send(app, WRITE, keys[who], named, content)
    if workload_id is not None:
        assert answer == 204
    else:
        assert answer == (400 if who == "other/else" else 403)
    assert stored(database) == ([] if workload_id is None else [workload_id])


def test_a_cluster_that_is_not_there_is_named(app: FastAPI, keys: dict[str, str]) -> None:
    assert send(app, PUSH, keys["every"], "nowhere", body()) == 404


def send(app: FastAPI, path: str, token: str, named: str, content: bytes) -> int:
    url = path + (f"?cluster={named}" if named else "")
    headers = {"Content-Type": "application/json"} if path == PUSH else V1
    headers = headers | {"Authorization": f"Bearer {token}"}
    return request(app, "POST", url, content=content, headers=headers).status_code


def stored(database: Engine) -> list[int]:
    with database.connect() as connection:
        rows = connection.execute(text("SELECT workload_id FROM observations"))
        return [int(row[0]) for row in rows]
