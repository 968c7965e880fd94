"""Cursors of lists: the key of a page's last row, opaque to the client."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from services.kernel.errors import InvalidInput


def encode_cursor(*values: object) -> str:
    """An opaque cursor that holds `values`."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: Sequence[type]) -> tuple[Any, ...]:
    """The values of a cursor, as `kinds`.

    Raises:
        InvalidInput: It is not one of ours.
    """
    try:
        raw = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(raw, list) or len(raw) != len(kinds):
            raise ValueError("wrong length")
        return tuple(_parse(value, kind) for value, kind in zip(raw, kinds, strict=True))
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidInput(
            f"cursor={cursor[:80]!r} must be the next_cursor of an earlier page"
        ) from error


def _parse(value: object, kind: type) -> object:
    if kind is datetime:
        at = datetime.fromisoformat(str(value))
        if at.tzinfo is None:
            raise ValueError("naive time")
        return at
    if type(value) is not kind:  # a bool is an int, and none of ours
        raise TypeError(f"{value!r} is no {kind.__name__}")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("no id of ours")
    if isinstance(value, str) and "\x00" in value:
        raise ValueError("no name of ours")
    return value
