"""Queries of lists: conditions from fixed fragments with bound values, in pages.

A page is bounded by the key of the last row of the one before it, never by a count of rows, so
rows that arrive in between neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, text


class Conditions:
    """Conditions that must all hold, and their values."""

    def __init__(self) -> None:
        self._parts = ["true"]
        self.values: dict[str, Any] = {}

    @property
    def sql(self) -> str:
        """The conditions joined."""
        return " AND ".join(self._parts)

    def add(self, fragment: str, **values: Any) -> None:
        """Add a fragment of ours with its bound values."""
        self._parts.append(fragment)
        self.values |= values

    def equal(self, column: str, value: Any) -> None:
        """Add an equality, unless the value is None."""
        if value is not None:
            name = f"eq_{column.replace('.', '_')}"
            self.add(f"{column} = :{name}", **{name: value})

    def between(self, column: str, filters: Mapping[str, Any]) -> None:
        """Add the time window of `from_at` and `to_at`, both inclusive."""
        for name, sign in (("from_at", ">="), ("to_at", "<=")):
            if filters.get(name) is not None:
                self.add(f"{column} {sign} :{name}", **{name: filters[name]})

    def of_workloads(self, filters: Mapping[str, Any]) -> None:
        """Add what narrows workloads `w`: `namespaces` seen, `namespace`, labels `label`."""
        self.equal("w.namespace", filters.get("namespace"))
        if filters.get("namespaces") is not None:
            self.add("w.namespace = ANY(:visible)", visible=list(filters["namespaces"]))
        if filters.get("label"):
            labels = orjson.dumps(dict(filters["label"])).decode()
            self.add("w.spec -> 'labels' @> CAST(:labels AS jsonb)", labels=labels)

    def after(self, fragment: str, values: Sequence[Any] | None) -> None:
        """Add the bound of a page, with values `:a0`, `:a1`, unless there is none."""
        if values:
            self.add(fragment, **{f"a{i}": value for i, value in enumerate(values)})


def page(
    connection: Connection, select: str, where: Conditions, order: str, limit: int
) -> list[RowMapping]:
    """One page of `select`, which has no WHERE of its own."""
    statement = f"{select} WHERE {where.sql} ORDER BY {order} LIMIT :limit"
    return list(
        connection.execute(text(statement), where.values | {"limit": limit}).mappings().all()
    )
