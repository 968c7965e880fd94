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


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("Input should be a valid integer, unable to parse string as an integer", "a whole number"),
        ("Input should be greater than or equal to 1", "at least 1"),
        ("Input should be less than 1", "less than 1"),
        ("Tuple should have at least 1 item after validation, not 0", "must not be empty"),
        ("String should match pattern '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$'", "lower-case letters"),
        ("String should match pattern '^[a-z0-9.-]+/[a-z0-9.-]+$'", "namespace/name"),
        ("Input should be 'Both' or 'ScaleDown'", "must be 'Both' or 'ScaleDown'"),
        ("the end lies before the start", "the end lies before the start"),
    ],
)
def test_rules_are_in_the_words_of_people(rule: str, words: str) -> None:
    said = forms.words_for("x", rule)
    assert said.startswith("x: ")
    assert words in said
    assert "Input" not in said
    assert "String" not in said
    assert "parse" not in said


def test_patterns_of_the_api_are_those_that_have_words() -> None:
    with pytest.raises(forms.FieldErrors) as caught:
        forms.check(FreezeRequest, {"namespace": "Not A Name", "until_at": UNTIL})
    said = forms.errors_of(caught.value)["namespace"]
    assert said == "Not A Name: must be lower-case letters, digits, dots and dashes"
