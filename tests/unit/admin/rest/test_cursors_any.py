"""Cursors of any values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from services.admin.rest.cursors import decode_cursor, encode_cursor
from services.kernel.errors import InvalidInput

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
"""A NUL is in no name: a URL that holds one is refused (422), and so is such a cursor."""


@given(NAMES, st.integers(-(2**63) + 1, 2**63 - 1), st.datetimes(timezones=st.just(UTC)))
def test_cursors_come_back(name: str, number: int, at: datetime) -> None:
    cursor = encode_cursor(name, number, at)
    assert decode_cursor(cursor, (str, int, datetime)) == (name, number, at)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&? ")


@given(st.text(max_size=30))
def test_foreign_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="next_cursor"):
        decode_cursor(cursor, (datetime, int, str, int))
