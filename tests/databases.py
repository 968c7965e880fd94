"""Databases of the tests' server: made, copied, dropped."""

from __future__ import annotations

import uuid

from sqlalchemy import create_engine, text

from services.kernel.db.session import sqlalchemy_url


def forgo_durability(url: str) -> None:
    """Wait for no disk: what a run wrote is thrown away with it."""
    for setting in ("fsync", "full_page_writes", "autovacuum"):
        _run(url, f"ALTER SYSTEM SET {setting} = off")
    _run(url, "SELECT pg_reload_conf()")


def create_database(url: str, template: str | None = None) -> str:
    """Make a database, as a copy of another or empty; returns its name.

    Its files are copied: that costs a third of writing each page into the log.
    """
    name = f"test_{uuid.uuid4().hex[:8]}"
    copying = f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
    _run(url, f"CREATE DATABASE {name}{copying}")
    return name


def drop_database(url: str, name: str) -> None:
    """Drop a database, connected or not."""
    _run(url, f"DROP DATABASE {name} WITH (FORCE)")


def with_database(url: str, name: str) -> str:
    """URL of another database of the same server."""
    head, _, query = url.partition("?")
    base = head.rsplit("/", 1)[0]
    return f"{base}/{name}" + (f"?{query}" if query else "")


def _run(url: str, statement: str) -> None:
    engine = create_engine(sqlalchemy_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
