"""The admin application beside the operator: what is set through it is laid over the objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.admin.sessions import SessionStore
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import KeyVerifier, Role, create_key
from services.kernel.settings import Settings
from tests.integration.admin.app_client import AppClient
from tests.integration.operator.conftest import Bench


@pytest.fixture
def api(bench: Bench, redis_url: str, settings: Settings) -> Iterator[AppClient]:
    """The admin application on the operator's database, with an admin's key."""
    engine, clock = bench.deps.engine, bench.clock
    connection = redis.Redis.from_url(redis_url)
    deps = AdminDeps(
        engine=engine,
        redis=connection,
        settings=settings,
        clock=clock,
        wall=clock,
        verifier=KeyVerifier(engine),
        sessions=SessionStore(connection, b"k" * 32, clock),
        sender=RecordingSender(),
    )
    with engine.begin() as transaction:
        token = create_key(transaction, "ada", Role.ADMIN, clock.now()).token
    with AppClient(make_app(deps), {"Authorization": f"Bearer {token}"}) as client:
        yield client
    connection.close()


def workload(bench: Bench, part: str) -> str:
    """Path of what is set of the workload llama."""
    return f"/v1/workloads/{bench.lab.namespace}/llama/{part}"


def patch_policy(bench: Bench, api: AppClient, body: dict[str, Any]) -> Any:
    """Change its policy, whatever stands."""
    return api.request("PATCH", workload(bench, "policy"), json=body, headers={"If-Match": "*"})
