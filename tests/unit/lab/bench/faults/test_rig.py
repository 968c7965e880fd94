"""The rig's settings: its own servers, and links that lead through proxies."""

from __future__ import annotations

from typing import Any

from services.kernel.settings import Settings
from services.lab.bench.faults.rig import _through, _upstreams, rig_settings
from services.platform.platform import process_env


class AtPort:
    """A proxy that listens there."""

    def __init__(self, port: int) -> None:
        self.port = port


def test_the_servers_are_the_benchs_own_and_two_operators_may_be_there() -> None:
    given = Settings(database_url="postgresql://mine/data", redis_url="redis://mine")
    found = rig_settings(given, 3, 5)
    assert (found.database_url, found.redis_url) == ("", "")
    assert (found.seed, found.step_s) == (3, 5)
    assert found.leader_election == "on"
    assert found.lease_retry_s < found.lease_renew_deadline_s < found.lease_duration_s


def test_processes_reach_the_servers_through_the_proxies() -> None:
    settings = Settings(
        database_url="postgresql://postgres@/postgres?host=/tmp/harmony-x",
        redis_url="redis://127.0.0.1:7001/0",
    )
    upstreams = _upstreams(settings, "http://127.0.0.1:7002")
    assert upstreams["database"].path == "/tmp/harmony-x/.s.PGSQL.5432"
    assert (upstreams["broker"].port, upstreams["api_server"].port) == (7001, 7002)
    proxies: dict[str, Any] = {name: AtPort(8000 + n) for n, name in enumerate(upstreams)}
    env = process_env(_through(settings, proxies))
    assert env["HARMONY_DATABASE_URL"] == "postgresql://postgres@127.0.0.1:8000/postgres"
    assert env["HARMONY_REDIS_URL"] == "redis://127.0.0.1:8001/0"
    known = settings.model_copy(update={"redis_url": "redis://:secret@127.0.0.1:7001/0"})
    env = process_env(_through(known, proxies))
    assert env["HARMONY_REDIS_URL"] == "redis://:secret@127.0.0.1:8001/0"
