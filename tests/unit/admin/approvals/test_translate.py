"""Until when a decision may be approved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.admin.approvals.translate import expires_at

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "minutes"),
    [
        ({}, 15),
        ({"approval_valid_s": 60}, 1),
        ({"approval_valid_s": 7200.0}, 120),
        ({"approval_valid_s": "soon"}, 15),
        ({"approval_valid_s": None}, 15),
        ({"approval_valid_s": -5.0}, 0),
        ({"approval_valid_s": 1e300}, 3650 * 1440),
    ],
)
def test_an_approval_counts_for_as_long_as_the_spec_says(
    spec: dict[str, object], minutes: int
) -> None:
    """What somebody has spoilt by hand is the default, or an end that can be told."""
    assert expires_at(AT, spec) == AT + timedelta(minutes=minutes)
