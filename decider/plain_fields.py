"""Dataclasses as the mappings that JSON is written from."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any


def plain_fields(value: Any) -> Any:
    """A dataclass as nested mappings, like `asdict`; but what JSON takes as it is is not copied.

    Args:
        value: A dataclass whose tuples hold either dataclasses or none.
    """
    if is_dataclass(value):
        kind: Any = type(value)
        return {name: plain_fields(getattr(value, name)) for name in _names(kind)}
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return tuple(plain_fields(one) for one in value)
    return value


@lru_cache(maxsize=64)
def _names(kind: Any) -> tuple[str, ...]:
    """Names of a dataclass's fields."""
    return tuple(field.name for field in fields(kind))
