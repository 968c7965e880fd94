"""The rows that the invariants look at, of a database in memory or of Postgres."""

from __future__ import annotations

import json
from typing import Any, Protocol

from sqlalchemy import Engine, text

from tests.simulation.memory_store import MemoryEngine


class Rows(Protocol):
    """What has been committed."""

    def intents(self) -> list[dict[str, Any]]: ...

    def actions_after(self, id_: int) -> list[dict[str, Any]]:
        """Actions of later ids than `id_`, in their order."""
        ...


class MemoryRows:
    def __init__(self, engine: MemoryEngine) -> None:
        self._tables = engine.tables

    def intents(self) -> list[dict[str, Any]]:
        return list(self._tables.rows["intents"].values())

    def actions_after(self, id_: int) -> list[dict[str, Any]]:
        found = []
        for row in reversed(self._tables.rows["actions"].values()):
            if row["id"] <= id_:
                break
            parts = row["parts"]
            found.append(row if parts is None else row | {"parts": json.loads(parts)})
        return found[::-1]


class PostgresRows:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def intents(self) -> list[dict[str, Any]]:
        return self._read("SELECT * FROM intents ORDER BY decision_id, attempt")

    def actions_after(self, id_: int) -> list[dict[str, Any]]:
        return self._read("SELECT * FROM actions WHERE id > :id ORDER BY id", id=id_)

    def _read(self, sql: str, **given: Any) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(sql), given).mappings()]
