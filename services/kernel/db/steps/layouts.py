"""SQL of the layouts: which indicators the places of a step hold."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, text

from services.kernel.db.steps.blocks import Layout

_known: WeakKeyDictionary[Engine, dict[int, Layout]] = WeakKeyDictionary()
"""Layouts that were read; one is never changed, and no id is given twice."""


def find_layouts(connection: Connection, wanted: Iterable[Layout]) -> dict[Layout, int]:
    """Ids of layouts; those that are not there are made."""
    statement = text("SELECT indicator_layout(CAST(:names AS text[]))")
    return {
        names: int(connection.execute(statement, {"names": list(names)}).scalar_one())
        for names in dict.fromkeys(wanted)
    }


def load_layouts(connection: Connection, ids: Iterable[int]) -> dict[int, Layout]:
    """Layouts by id; only those that this process has not seen are read."""
    known = _known.setdefault(connection.engine, {})
    wanted = set(ids)
    missing = wanted - known.keys()
    if missing:
        statement = text("SELECT id, names FROM indicator_layouts WHERE id = ANY(:ids)")
        found = connection.execute(statement, {"ids": sorted(missing)})
        known.update({row.id: tuple(row.names) for row in found})
    return {one: known[one] for one in wanted}
