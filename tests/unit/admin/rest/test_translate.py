"""Numbers that are not finite."""

from __future__ import annotations

from services.admin.rest.translate import finite


def test_what_is_not_finite_is_unknown() -> None:
    assert finite(None) is finite(float("nan")) is finite(float("inf")) is None
    assert finite(0.1234567891) == 0.1234568
