"""Postgres and a Redis-protocol server from wheels, for machines that have neither.

A URL in the settings always wins; then nothing is started.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from services.kernel.settings import Settings
from services.platform.embedded_postgres import start_postgres
from services.platform.embedded_valkey import start_valkey
from services.platform.processes import Supervisor


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


def data_folder(settings: Settings, name: str) -> Path:
    """Where a platform keeps its data: the demo, `up` and tests stay apart by name."""
    return (settings.home or default_home()) / name


@contextmanager
def embedded_servers(settings: Settings, name: str) -> Iterator[ServerUrls]:
    """Start the servers that the settings give no URL for; stop them on exit.

    Args:
        settings: `database_url` and `redis_url` win where given.
        name: Name of the data folder.

    Raises:
        Unavailable: A server does not start, or another process uses the folder.
    """
    folder = data_folder(settings, name)
    with Supervisor(folder) as supervisor:
        yield start_servers(supervisor, settings, folder)


def start_servers(supervisor: Supervisor, settings: Settings, folder: Path) -> ServerUrls:
    """Start the servers that the settings give no URL for, as the supervisor's processes.

    Raises:
        Unavailable: A server does not start.
    """
    database_url = settings.database_url or start_postgres(supervisor, folder)
    return ServerUrls(database_url, settings.redis_url or start_valkey(supervisor))
