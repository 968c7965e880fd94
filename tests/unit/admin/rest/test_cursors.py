"""Cursors: what was given comes back; what is made up is refused before it reaches a query."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from services.admin.rest.cursors import decode_cursor, encode_cursor
from services.kernel.errors import InvalidInput

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def made_up(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def test_a_cursor_comes_back_as_it_was() -> None:
    assert decode_cursor(encode_cursor(AT, 7), (datetime, int)) == (AT, 7)
    assert decode_cursor(encode_cursor("a", "b"), (str, str)) == ("a", "b")


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ([AT.isoformat(), True], (datetime, int)),
        ([AT.isoformat(), 1.0], (datetime, int)),
        ([AT.isoformat(), None], (datetime, int)),
        ([2**63], (int,)),
        ([-(2**63)], (int,)),
        (["2026-01-05T12:00:00", 1], (datetime, int)),
        (["a\x00", "b"], (str, str)),
        (["a"], (str, str)),
        ({"a": 1}, (str,)),
    ],
)
def test_a_made_up_one_is_refused(value: Any, kinds: tuple[type, ...]) -> None:
    with pytest.raises(InvalidInput, match="next_cursor"):
        decode_cursor(made_up(value), kinds)
