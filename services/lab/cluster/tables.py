"""What `kubectl get` shows: objects as a `Table`, with the columns that a definition asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.lab.cluster.resources import CUSTOM_RESOURCE_DEFINITIONS, Obj, ResourceType
from services.lab.cluster.store import Store

NAME_COLUMN = {"name": "Name", "type": "string", "format": "name", "priority": 0}
AGE_COLUMN = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_STEP = re.compile(r"\.([\w-]+)|\[\?\(@\.(\w+)==\"([^\"]*)\"\)\]|\[(\d+)\]")


def wants_table(accept: str) -> bool:
    """Whether a client asks for a Table, as kubectl does."""
    first = accept.partition(",")[0].replace(" ", "")
    return "as=Table" in first and "g=meta.k8s.io" in first


def columns_of(store: Store, rtype: ResourceType) -> Sequence[Obj]:
    """The columns that the definition of a kind asks for, or the age alone."""
    name = f"{rtype.plural}.{rtype.group}"
    definition = store.get(CUSTOM_RESOURCE_DEFINITIONS, "", name) if rtype.is_custom else None
    for version in (definition or {}).get("spec", {}).get("versions", ()):
        if version["name"] == rtype.version and version.get("additionalPrinterColumns"):
            found: Sequence[Obj] = version["additionalPrinterColumns"]
            return found
    return [AGE_COLUMN]


def to_table(objects: Sequence[Obj], columns: Sequence[Obj], meta: Obj, now: str) -> Obj:
    """The Table of some objects.

    Args:
        objects: Rows, in order.
        columns: `additionalPrinterColumns`; the name is added.
        meta: Metadata of the list.
        now: RFC 3339; ages are counted to it.
    """
    shown = [{k: v for k, v in column.items() if k != "jsonPath"} for column in columns]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [NAME_COLUMN, *({"priority": 0, **column} for column in shown)],
        "rows": [
            {
                "cells": [obj["metadata"]["name"], *(_cell(obj, c, now) for c in columns)],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": obj["metadata"],
                },
            }
            for obj in objects
        ],
    }


def _cell(obj: Obj, column: Obj, now: str) -> Any:
    value = look_up(obj, column["jsonPath"])
    if value is None or column["type"] != "date":
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
    """How long ago, as kubectl writes it: `5s`, `3m`, `4h`, `2d`."""
    passed = datetime.fromisoformat(now) - datetime.fromisoformat(then)
    seconds = max(0, int(passed.total_seconds()))
    for width, unit, limit in ((86_400, "d", 2), (3_600, "h", 2), (60, "m", 2)):
        if seconds >= width * limit:
            return f"{seconds // width}{unit}"
    return f"{seconds}s"
