"""Databases of the tests' server: made, copied, dropped."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

COPIES_BY_KERNEL = 180_000
"""First version of Postgres that lets the kernel copy files."""


class Databases:
    """The server's databases, by one connection that stays open: each test makes and drops one."""

    def __init__(self, url: str, connection: psycopg.Connection) -> None:
        self._url = url
        self._connection = connection

    def forgo_durability(self) -> None:
        """Wait for no disk: what a run wrote is thrown away with it. The kernel copies files."""
        for setting in ("fsync", "full_page_writes", "autovacuum"):
            self._run(f"ALTER SYSTEM SET {setting} = off")
        if self._connection.info.server_version >= COPIES_BY_KERNEL:
            self._run("ALTER SYSTEM SET file_copy_method = clone")
        self._run("SELECT pg_reload_conf()")

    def create(self, template: str | None = None) -> str:
        """Make a database, as a copy of another or empty; returns its name.

        Its files are copied: that costs a third of writing each page into the log.
        """
        name = f"test_{uuid.uuid4().hex[:8]}"
        copying = f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
        self._run(f"CREATE DATABASE {name}{copying}")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, connected or not."""
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        """URL of a database."""
        head, _, query = self._url.partition("?")
        base = head.rsplit("/", 1)[0]
        return f"{base}/{name}" + (f"?{query}" if query else "")

    def _run(self, statement: str) -> None:
        self._connection.execute(statement.encode())


@contextmanager
def databases_of(url: str) -> Iterator[Databases]:
    """The databases of the server at `url`."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield Databases(url, connection)
