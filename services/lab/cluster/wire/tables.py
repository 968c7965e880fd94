"""Tables of `kubectl get`: objects as a `Table`, with the columns of their kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson

from services.lab.cluster.storage.resources import CUSTOM_RESOURCE_DEFINITIONS, Obj, ResourceType
from services.lab.cluster.storage.store import Store
from services.lab.cluster.wire.columns import Column, built_in, has_name_first

NAME_COLUMN = {"name": "Name", "type": "string", "format": "name", "priority": 0}
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_STEP = re.compile(r"\.([\w-]+)|\[\?\(@\.(\w+)==\"([^\"]*)\"\)\]|\[(\d+)\]")


def wants_table(accept: str) -> bool:
    """Check whether a client asks for a Table, as kubectl does."""
    first = accept.partition(",")[0].replace(" ", "")
    return "as=Table" in first and "g=meta.k8s.io" in first


def columns_of(store: Store, rtype: ResourceType) -> list[Column]:
    """The columns of a kind, the name first: those of its definition, or of the built-in kind."""
    if not rtype.is_custom:
        found = list(built_in(rtype))
        return [_NAME, *found] if has_name_first(rtype) else found
    return [_NAME, *map(_defined, _printer_columns(store, rtype))]


def to_table(objects: Sequence[Obj], columns: Sequence[Column], meta: Obj, now: str) -> Obj:
    """The Table of some objects.

    Args:
        objects: Rows, in order.
        columns: As `columns_of` gives them.
        meta: Metadata of the list.
        now: RFC 3339; ages are counted to it.
    """
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [
            NAME_COLUMN if column is _NAME else _definition(column) for column in columns
        ],
        "rows": [
            {
                "cells": [_cell(obj, column, now) for column in columns],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": obj["metadata"],
                },
            }
            for obj in objects
        ],
    }


def table_maker(
    store: Store, rtype: ResourceType, now: Callable[[], str]
) -> Callable[[bytes], bytes]:
    """Turns an object of a watch's event into a Table of one row."""

    def make(raw: bytes) -> bytes:
        obj = orjson.loads(raw)
        meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return orjson.dumps(to_table([obj], columns_of(store, rtype), meta, now()))

    return make


def _printer_columns(store: Store, rtype: ResourceType) -> Sequence[Obj]:
    definition = store.get(CUSTOM_RESOURCE_DEFINITIONS, "", f"{rtype.plural}.{rtype.group}")
    for version in (definition or {}).get("spec", {}).get("versions", ()):
        if version["name"] == rtype.version and version.get("additionalPrinterColumns"):
            found: Sequence[Obj] = version["additionalPrinterColumns"]
            return found
    return [_AGE]


def _defined(column: Obj) -> Column:
    path = column["jsonPath"]
    return Column(
        column["name"],
        lambda obj: look_up(obj, path),
        column["type"],
        column.get("priority", 0),
        column.get("description", ""),
    )


_NAME = Column("Name", lambda obj: obj["metadata"]["name"])


def _definition(column: Column) -> Obj:
    found = {"name": column.name, "type": column.type, "priority": column.priority}
    return found | ({"description": column.description} if column.description else {})


def _cell(obj: Obj, column: Column, now: str) -> Any:
    value = column.read(obj)
    if value is None or column.type != "date":
        return value
    return human_age(str(value), now)


def look_up(obj: Any, path: str) -> Any:
    """The value at a JSON path of names, indices and equality filters; None where there is none."""
    at = 0
    while at < len(path) and obj is not None:
        found = _STEP.match(path, at)
        if found is None:
            return None
        name, key, wanted, index = found.groups()
        if name is not None:
            obj = obj.get(name) if isinstance(obj, dict) else None
        elif key is not None:
            entries = obj if isinstance(obj, list) else []
            obj = next((each for each in entries if each.get(key) == wanted), None)
        else:
            obj = obj[int(index)] if isinstance(obj, list) and int(index) < len(obj) else None
        at = found.end()
    return obj


def human_age(then: str, now: str) -> str:
    """Age as kubectl writes it: `5s`, `3m`, `4h`, `2d`."""
    passed = datetime.fromisoformat(now) - datetime.fromisoformat(then)
    seconds = max(0, int(passed.total_seconds()))
    for width, unit, limit in ((86_400, "d", 2), (3_600, "h", 2), (60, "m", 2)):
        if seconds >= width * limit:
            return f"{seconds // width}{unit}"
    return f"{seconds}s"
