"""SQL of the faults that strike in the database itself, and what shows that they did."""

from __future__ import annotations

import time
from datetime import datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

_FULL = "bench_disk_full"
_WRITTEN = ("observations", "indicator_steps", "forecasts", "decisions", "actions", "intents")
_WEIGHTS = b'{"a":{"dtype":"F32","shape":[4096],"data_offsets":[0,16384]}}'
GARBAGE = {
    "bytes": b"\x00garbage" * 64,
    "half": len(_WEIGHTS).to_bytes(8, "little") + _WEIGHTS + bytes(8192),
}
"""What is no model: bytes of anything, and the first half of a file of weights."""
_LOCK_ATTEMPTS = 20


def fill_disk(engine: Engine) -> None:
    """Let every write of the main tables fail as it does on a full disk; each is counted."""
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SEQUENCE IF NOT EXISTS {_FULL}"))
        connection.execute(
            text(
                f"CREATE OR REPLACE FUNCTION {_FULL}() RETURNS trigger LANGUAGE plpgsql AS $$ "
                f"BEGIN PERFORM nextval('{_FULL}'); "
                "RAISE EXCEPTION 'could not extend file: No space left on device' "
                "USING ERRCODE = '53100'; END $$"
            )
        )
    for table in _WRITTEN:
        trigger = f"CREATE TRIGGER {_FULL} BEFORE INSERT ON {table}"
        _locked(engine, f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION {_FULL}()")


def free_disk(engine: Engine) -> None:
    """Let writes work again."""
    for table in _WRITTEN:
        _locked(engine, f"DROP TRIGGER IF EXISTS {_FULL} ON {table}")


def count_full(engine: Engine) -> int:
    """Writes that found the disk full so far."""
    with engine.connect() as connection:
        if connection.execute(text(f"SELECT to_regclass('{_FULL}')")).scalar() is None:
            return 0
        found = connection.execute(
            text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {_FULL}")  # noqa: S608 - our name
        )
        return int(found.scalar_one())


def fail_migration(engine: Engine, seconds: float) -> bool:
    """Change two tables in one transaction, stay in it for a while, and fail.

    Returns:
        Whether it came as far as its failure; false: it did not get its locks.
    """
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '8s'"))
            connection.execute(text("SET LOCAL statement_timeout = '60s'"))
            connection.execute(text("ALTER TABLE decisions ADD COLUMN bench_failed integer"))
            connection.execute(text("ALTER TABLE actions ADD COLUMN bench_failed integer"))
            connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
            connection.execute(text("SELECT 1 / 0"))
    except DBAPIError as error:
        return "division by zero" in str(error.orig)
    return False


def garbage_version(what: str) -> str:
    """Version of a model of `GARBAGE`."""
    return f"bench-garbage-{what}"


def promote_garbage(connection: Connection, what: str, at: datetime) -> None:
    """Let one of `GARBAGE` serve; who served before is retired meanwhile."""
    connection.execute(
        text(
            "INSERT INTO models (version, kind, status, reason, config, metrics, artifact, "
            "created_at, promoted_at) VALUES (:version, 'network', 'promoted', '', '{}', '{}', "
            ":artifact, :at, :at) ON CONFLICT (version) DO UPDATE SET status = 'promoted'"
        ),
        {"version": garbage_version(what), "artifact": GARBAGE[what], "at": at},
    )


def retire_garbage(connection: Connection, what: str, at: datetime) -> None:
    """Let it serve no longer."""
    connection.execute(
        text("UPDATE models SET status = 'retired', retired_at = :at WHERE version = :version"),
        {"version": garbage_version(what), "at": at},
    )


def count_garbage_answers(connection: Connection, what: str, since: datetime) -> int:
    """Forecasts since then that say that the model cannot be read."""
    statement = text(
        "SELECT count(*) FROM forecasts WHERE created_at >= :since AND reason LIKE :said"
    )
    said = f"%{garbage_version(what)} cannot be read%"
    return int(connection.execute(statement, {"since": since, "said": said}).scalar_one())


def _locked(engine: Engine, statement: str) -> None:
    """Run a statement that needs a lock of a busy table, again where it does not get it.

    Raises:
        DBAPIError: It fails each time.
    """
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            with engine.begin() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '1s'"))
                connection.execute(text(statement))
                return
        except DBAPIError:
            if attempt == _LOCK_ATTEMPTS - 1:
                raise
            time.sleep(0.2)
