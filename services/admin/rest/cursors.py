"""Cursors of lists: the key of a page's last row, opaque to the client."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import RowMapping

from services.admin.rest.schemas import Item, Page
from services.kernel.errors import InvalidInput


def page_of(
    kind: type[Page[Item]],
    rows: Sequence[RowMapping],
    limit: int,
    by: Sequence[str],
    view: Callable[[RowMapping], Item | None],
) -> Page[Item]:
    """The first `limit` of `rows` as a page; one row more says that another page follows.

    Args:
        kind: The page's type, with that of its items.
        rows: At most `limit` + 1, in the list's order.
        limit: Items per page.
        by: Columns of the key that the cursor holds.
        view: Makes an item of a row; None: the row is left out.
    """
    last = rows[limit - 1] if len(rows) > limit else None
    following = None if last is None else encode_cursor(*(last[name] for name in by))
    items = [item for item in map(view, rows[:limit]) if item is not None]
    return kind(items=items, next_cursor=following)


def position(cursor: str | None, kinds: Sequence[type]) -> dict[str, Any]:
    """The filter `after` of a cursor, with values of `kinds`; nothing without a cursor.

    Raises:
        InvalidInput: The cursor is not one of ours.
    """
    return {} if cursor is None else {"after": decode_cursor(cursor, kinds)}


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
