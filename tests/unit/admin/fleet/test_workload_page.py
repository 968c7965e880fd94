"""Times that the form of a pause names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.admin.console.page import FormFields
from services.admin.fleet.workload_page import _until
from services.kernel.errors import InvalidInput

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def until(text: str) -> datetime | None:
    return _until(FormFields({"lasting": ["until"], "until_at": [text]}), NOW)


def test_a_time_is_utc_unless_it_names_an_offset() -> None:
    assert until("2026-01-05T18:00") == datetime(2026, 1, 5, 18, tzinfo=UTC)
    assert until("2026-01-05T18:00Z") == datetime(2026, 1, 5, 18, tzinfo=UTC)
    assert until("2026-01-05T18:00+02:00") == datetime(2026, 1, 5, 16, tzinfo=UTC)


def test_what_is_no_time_is_named() -> None:
    with pytest.raises(InvalidInput, match="until_at='soon' must be a time in UTC"):
        until("soon")
