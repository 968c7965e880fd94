"""Errors of forms, by field."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.admin.console import forms
from services.admin.freezes.schemas import FreezeRequest
from services.kernel.errors import InvalidInput

UNTIL = "2026-11-30T00:00:00Z"


def test_each_field_has_its_own_error() -> None:
    given = {"namespace": "Not A Name", "direction": "Up", "until_at": UNTIL}
    with pytest.raises(forms.FieldErrors) as error:
        forms.check(FreezeRequest, given)
    found = forms.errors_of(error.value)
    assert set(found) == {"namespace", "direction"}
    assert found["direction"].startswith("Up: must be ")


def test_a_rule_of_the_whole_form_goes_to_the_field_that_it_names() -> None:
    with pytest.raises(forms.FieldErrors) as error:
        forms.check(FreezeRequest, {"workload": "llama", "until_at": UNTIL})
    assert forms.errors_of(error.value) == {"workload": "workload='llama' needs its namespace"}


def test_an_error_of_no_field_stays_one_of_the_form() -> None:
    error = InvalidInput("nothing fits")
    assert forms.at_field(error, ["reason"]) is error
    assert forms.errors_of(error) == {}
    pointed = forms.at_field(InvalidInput("too late", "/until_at"), ["until_at"])
    assert forms.errors_of(pointed) == {"until_at": "too late"}


def test_a_time_without_an_offset_is_in_utc() -> None:
    assert forms.time_of("2026-01-05T18:00", "until_at") == datetime(2026, 1, 5, 18, tzinfo=UTC)
    assert forms.time_of("", "until_at") is None
    with pytest.raises(forms.FieldErrors, match="stands beside"):
        forms.time_of("tomorrow", "until_at")
