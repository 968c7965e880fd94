"""Dataclasses as the mappings that JSON is written from."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

_LEAVES = frozenset({float, int, str, bool, type(None)})


def plain_fields(value: Any) -> Any:
    """A dataclass as nested mappings, like `asdict`; but what JSON takes as it is is not copied.

    Args:
        value: A dataclass whose tuples hold either dataclasses or none.
    """
    kind: Any = type(value)
    names = _names(kind)
    if names is not None:
        found = [(name, getattr(value, name)) for name in names]
        # most are numbers, and calls cost more than they do
        return {name: x if type(x) in _LEAVES else plain_fields(x) for name, x in found}
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return tuple(plain_fields(one) for one in value)
    return value


@lru_cache(maxsize=256)
def _names(kind: Any) -> tuple[str, ...] | None:
    """Names of a dataclass's fields; None: it is none."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None
