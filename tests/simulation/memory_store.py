"""A database in memory: tables, transactions that roll back, and an engine as SQLAlchemy has one.

It understands the statements of the operator and no others (`statements.py`). Whole runs over it
and over Postgres are compared byte by byte in `test_stores.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[Any, ...]
Given: TypeAlias = Mapping[str, Any]

KEYS: dict[str, tuple[str, ...]] = {
    "workloads": ("id",),
    "decisions": ("id",),
    "actions": ("decision_id", "attempt", "origin_at"),
    "intents": ("decision_id", "attempt"),
    "gpu_budgets": ("gpu_type",),
    "replica_states": ("workload_id", "observed_at"),
    "pod_starts": ("pod_uid",),
}


class Tables:
    """Rows by table and key; every change can be undone. Rows are replaced, never changed."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, Row]] = {name: {} for name in KEYS}
        self.sequences: dict[str, int] = {}
        self.actions_of: dict[int, list[Row]] = {}
        self.decisions_of: dict[int, list[Row]] = {}
        self.states_of: dict[int, list[Row]] = {}
        self.scalings_of: dict[int, list[Row]] = {}
        self._undo: list[Callable[[], None]] = []

    def put(self, table: str, row: Row) -> None:
        rows, key = self.rows[table], tuple(row[name] for name in KEYS[table])
        before = rows.get(key)
        rows[key] = row
        if before is None:
            self._undo.append(lambda: rows.pop(key))
        else:
            self._undo.append(lambda: rows.update({key: before}))
        for index in self._indexes(table, row):
            index.append(row)
            self._undo.append(index.pop)

    def _indexes(self, table: str, row: Row) -> list[list[Row]]:
        """Lists that hold what is only ever added to: decisions, actions and states."""
        if table == "decisions":
            return [self.decisions_of.setdefault(row["workload_id"], [])]
        if table == "replica_states":
            return [self.states_of.setdefault(row["workload_id"], [])]
        if table == "actions":
            found = [self.actions_of.setdefault(row["decision_id"], [])]
            if row["result"] in ("applied", "unknown"):
                found.append(self.scalings_of.setdefault(row["workload_id"], []))
            return found
        return []

    def has(self, table: str, row: Row) -> bool:
        return tuple(row[name] for name in KEYS[table]) in self.rows[table]

    def delete(self, table: str, key: Key) -> None:
        rows = self.rows[table]
        before = rows.pop(key, None)
        if before is not None:
            row = before  # its place among the others does not matter: readers sort
            self._undo.append(lambda: rows.update({key: row}))

    def next_id(self, sequence: str) -> int:
        """Sequences do not roll back."""
        self.sequences[sequence] = self.sequences.get(sequence, 0) + 1
        return self.sequences[sequence]

    def commit(self) -> None:
        self._undo.clear()

    def roll_back(self) -> None:
        while self._undo:
            self._undo.pop()()


class Found:
    """The result of a statement."""

    def __init__(self, rows: Sequence[Row] = (), rowcount: int = 0) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def mappings(self) -> _Mapped:
        return _Mapped(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (tuple(row.values()) for row in self._rows)

    def scalar(self) -> Any:
        return next((next(iter(row.values())) for row in self._rows), None)


class _Mapped:
    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def all(self) -> list[Row]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


Handler: TypeAlias = Callable[[Tables, Any], Found]


class MemoryEngine:
    """Connections to the tables; one transaction at a time."""

    url = "memory"

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.tables = Tables()
        self._handlers = handlers
        self._known: dict[str, Handler] = {}
        self._has_transaction = False

    def handler(self, statement: str) -> Handler:
        if statement not in self._known:
            found = [run for start, run in self._handlers.items() if start in statement]
            assert len(found) == 1, f"{len(found)} handlers for {statement}"
            self._known[statement] = found[0]
        return self._known[statement]

    @contextmanager
    def connect(self) -> Iterator[MemoryConnection]:
        assert not self._has_transaction, "a transaction within another one"
        self._has_transaction = True
        try:
            yield MemoryConnection(self)
        finally:
            self.tables.roll_back()
            self._has_transaction = False

    @contextmanager
    def begin(self) -> Iterator[MemoryConnection]:
        with self.connect() as connection:
            yield connection
            connection.commit()


class MemoryConnection:
    """A transaction, and its own driver's connection at once, for COPY."""

    def __init__(self, engine: MemoryEngine) -> None:
        self.engine = engine
        self.connection = self
        self.driver_connection = self
        self._staged: dict[str, list[Row]] = {}

    def commit(self) -> None:
        self.engine.tables.commit()

    def execute(self, statement: Any, parameters: Any = None) -> Found:
        sql = str(statement.text)
        if sql.startswith(("DROP TABLE", "CREATE TEMP TABLE", "SELECT pg_notify", "SELECT FROM")):
            return Found()
        if sql.startswith("SELECT p.oid::regclass::text FROM pg_class"):
            return Found([{"oid": parameters["name"]}])  # every partition is there
        if sql.startswith("INSERT INTO") and "FROM staging_" in sql:
            return self._insert_staged(sql)
        return self.engine.handler(sql)(self.engine.tables, parameters)

    def _insert_staged(self, sql: str) -> Found:
        found = re.match(r"INSERT INTO (\w+) ", sql)
        assert found is not None, sql
        return Found(rowcount=self.insert(found[1], self._staged.pop(f"staging_{found[1]}", [])))

    def insert(self, name: str, rows: Iterable[Row]) -> int:
        """Rows put; one whose key is there already stays as it is."""
        tables, n = self.engine.tables, 0
        for row in rows:
            if not tables.has(name, row):
                tables.put(name, row)
                n += 1
        return n

    @contextmanager
    def cursor(self) -> Iterator[_Cursor]:
        yield _Cursor(self)

    @contextmanager
    def copy(self, statement: str) -> Iterator[_Copy]:
        found = re.match(r'COPY "(\w+)" \(([^)]*)\)', statement)
        assert found is not None, statement
        columns = [name.strip(' "') for name in found[2].split(",")]
        rows: list[Row] = []
        yield _Copy(columns, rows)
        if found[1].startswith("staging_"):
            self._staged.setdefault(found[1], []).extend(rows)
            return
        for row in rows:
            self.engine.tables.put(found[1], row)


class _Cursor:
    """The driver's cursor, for COPY and for few rows."""

    def __init__(self, connection: MemoryConnection) -> None:
        self.copy = connection.copy
        self.rowcount = 0
        self._connection = connection

    def execute(self, sql: str, row: Sequence[Any]) -> None:
        self.executemany(sql, [row])

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        found = re.match(r"INSERT INTO (\w+) \(([^)]*)\) VALUES ", sql)
        assert found is not None, sql
        columns = [name.strip(' "') for name in found[2].split(",")]
        made = (dict(zip(columns, row, strict=True)) for row in rows)
        self.rowcount = self._connection.insert(found[1], made)


class _Copy:
    def __init__(self, columns: Sequence[str], rows: list[Row]) -> None:
        self._columns = columns
        self._rows = rows

    def write_row(self, values: Iterable[Any]) -> None:
        self._rows.append(dict(zip(self._columns, values, strict=True)))
