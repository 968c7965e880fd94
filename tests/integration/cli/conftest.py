"""The kubectl plugin between a real admin API over HTTP and the simulated cluster."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
import uvicorn
import yaml
from sqlalchemy import Engine

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.admin.sessions import SessionStore
from services.cli.kubectl import application as kubectl
from services.kernel.clock import Clock, FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import KeyVerifier, Role, create_key
from services.kernel.settings import Settings
from services.lab.cluster.kubeconfig import make_kubeconfig
from tests.integration.admin.seeded_fleet import NOW, seed_fleet
from tests.integration.admin.seeded_rows import STEP_S
from tests.integration.operator.conftest import (  # noqa: F401 - fixtures
    Bench,
    bench,
    cluster_url,
    lab,
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The API's log lines stay out of what the plugin prints: here both are one process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@dataclass(frozen=True)
class Answer:
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def items(self) -> list[dict[str, Any]]:
        return list(json.loads(self.out)["items"])


@dataclass
class Plugin:
    """Runs the plugin at the time of `clock`."""

    clock: Clock
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Answer:
        self.capture.readouterr()
        status = kubectl.main(arguments, self.clock)
        caught = self.capture.readouterr()
        return Answer(status, caught.out, caught.err)

    def fails(self, *arguments: str) -> str:
        """The one line of an error."""
        answer = self(*arguments)
        assert answer.status == 2, answer
        assert answer.out == ""
        (line,) = answer.err.splitlines()
        assert line.startswith("kubectl harmony: ")
        return line.removeprefix("kubectl harmony: ")


@contextmanager
def serve(engine: Engine, redis_url: str, settings: Settings, clock: FixedClock) -> Iterator[str]:
    """The admin application on a socket of loopback; its address."""
    client = redis.Redis.from_url(redis_url)
    deps = AdminDeps(
        engine,
        client,
        settings,
        clock,
        clock,
        KeyVerifier(engine),
        SessionStore(client, b"k" * 32, clock),
        RecordingSender(),
    )
    # it listens at once, so that who comes before the server has started waits for it
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(make_app(deps), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)
    client.close()


def configure(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, url: str, folder: Path, clock: Clock
) -> None:
    """Environment of a user with a viewer's key in a file."""
    with engine.begin() as connection:
        token = create_key(connection, "plugin", Role.VIEWER, clock.now()).token
    key_file = folder / "key"
    key_file.write_text(token + "\n")
    monkeypatch.setenv("HARMONY_URL", url)
    monkeypatch.setenv("HARMONY_KEY_FILE", str(key_file))
    monkeypatch.delenv("HARMONY_KEY", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))


@pytest.fixture
def seeded_plugin(
    database: Engine,
    redis_url: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Plugin]:
    """The plugin before an API over a seeded fleet, with no cluster and no kubeconfig at all."""
    seed_fleet(database)
    clock = FixedClock(NOW)
    ours = settings.model_copy(update={"step_s": STEP_S})
    with serve(database, redis_url, ours, clock) as url:
        configure(monkeypatch, database, url, tmp_path, clock)
        yield Plugin(clock, capsys)


@pytest.fixture
def plugin(
    bench: Bench,  # noqa: F811 - the fixture
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Plugin]:
    """The plugin beside an operator: its admin API, and a kubeconfig of the simulated cluster."""
    with serve(bench.engine, redis_url, bench.deps.settings, bench.clock) as url:
        configure(monkeypatch, bench.engine, url, tmp_path, bench.clock)
        config: Any = make_kubeconfig(bench.lab.url, "harmony-lab")
        config["contexts"][0]["context"]["namespace"] = bench.lab.namespace
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        yield Plugin(bench.clock, capsys)
