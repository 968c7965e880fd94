"""Values that all routes share: what they refuse, and what a client reads of them."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from pydantic import TypeAdapter, ValidationError

from services.admin.rest.schemas import (
    Health,
    In,
    ObjectName,
    Out,
    Page,
    Problem,
    Readiness,
    Reason,
)
from tests.unit.admin.shapes import documented, nullable, optional, through

PAGE = {"items": [1, 2], "next_cursor": "abc"}
PROBLEM = {
    "type": "https://harmony.dev/problems/not_found",
    "title": "Not Found",
    "status": 404,
    "code": "not_found",
    "detail": "workload prod/llama does not exist",
    "errors": [{"pointer": "/name", "message": "unknown"}],
}


class Wish(In):
    """What a client sends."""

    count: int


class Mixed(In):
    """Fields that may hold a number."""

    share: float | None = None
    counts: tuple[int, ...] = ()
    is_on: bool = False
    either: bool | int = 0
    name: str = ""


class Thing(Out):
    """What a client gets."""

    model_count: int


def test_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        Wish.model_validate({"count": 1, "colour": "red"})


def test_what_was_taken_and_what_is_returned_stay_as_they_are() -> None:
    wish, thing = Wish(count=1), Thing(model_count=1)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(wish, "count", 2)  # noqa: B010
    with pytest.raises(ValidationError, match="frozen"):
        setattr(thing, "model_count", 2)  # noqa: B010


@pytest.mark.parametrize("text", ["", "x" * 500, "two\nlines\tof text", "größer"])
def test_a_reason_is_any_text_of_bounded_length(text: str) -> None:
    assert TypeAdapter(Reason).validate_python(text) == text


@pytest.mark.parametrize("text", ["x" * 501, "a\x00b", "a\x1bb", "a\rb", "a\x7fb"])
def test_a_reason_has_no_control_characters_and_an_end(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Reason).validate_python(text)


@pytest.mark.parametrize("name", ["a", "llama-70b", "v1.2", "0"])
def test_an_object_is_named_as_in_kubernetes(name: str) -> None:
    assert TypeAdapter(ObjectName).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", ".a", "Llama", "a_b", "a/b", "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ObjectName).validate_python(name)


def test_a_page_holds_items_of_its_kind_and_the_last_one_has_no_cursor() -> None:
    assert through(Page[int], PAGE) == PAGE
    assert optional(Page[int], PAGE) == nullable(Page[int], PAGE) == {"next_cursor"}
    assert Page[int](items=[]).next_cursor is None
    with pytest.raises(ValidationError):
        Page[int].model_validate({"items": ["one"]})


def test_a_problem_may_have_no_further_findings() -> None:
    assert through(Problem, PROBLEM) == PROBLEM
    assert optional(Problem, PROBLEM) == nullable(Problem, PROBLEM) == {"errors"}


def test_the_documented_problem_is_one_that_can_be() -> None:
    example = documented(Problem)
    status = HTTPStatus(example["status"])
    assert (example["title"], example["code"]) == (status.phrase, status.name.lower())
    assert example["type"].endswith(f"/{example['code']}")


def test_a_service_that_answers_says_ok_and_what_it_checked() -> None:
    assert Health().model_dump() == {"status": "ok"}
    checks = {"database": "ok", "redis": "ok", "schema": "0001"}
    assert Readiness(checks=checks).model_dump() == {"status": "ready", "checks": checks}
    assert documented(Readiness)["checks"] == checks


@pytest.mark.parametrize("field", ["share", "count"])
def test_true_is_no_number(field: str) -> None:
    with pytest.raises(ValidationError, match="must be a number, not true or false"):
        (Wish if field == "count" else Mixed).model_validate({field: True})


def test_true_is_taken_where_it_says_something() -> None:
    found = Mixed.model_validate({"is_on": True, "either": True, "share": 1, "counts": [1]})
    assert (found.is_on, found.either, found.share, found.counts) == (True, True, 1.0, (1,))
