"""Forms of the console: values checked by the REST API's models, errors by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.kernel.errors import HarmonyError, InvalidInput

_Model = TypeVar("_Model", bound=BaseModel)
_MAX_SHOWN = 60


class FieldErrors(InvalidInput):
    """Fields of a form cannot be used.

    Attributes:
        fields: What is wrong with each, with its value and the rule.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("Some fields cannot be used; what is wrong stands beside each.")
        self.fields = dict(fields)


def check(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """A form's values as a model of the REST API, under its rules.

    Raises:
        FieldErrors: Fields cannot be used.
        InvalidInput: The form as a whole cannot.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        found: dict[str, str] = {}
        whole = ""
        for one in error.errors():
            rule = str(one["msg"]).removeprefix("Value error, ")
            name = next((part for part in one["loc"] if part in model.model_fields), "")
            if isinstance(name, str) and name:
                found.setdefault(name, words_for(one["input"], rule))
            else:
                whole = whole or rule
        if found:
            raise FieldErrors(found) from error
        raise at_field(InvalidInput(whole), list(model.model_fields)) from error


def words_for(given: object, rule: str) -> str:
    """A value that was given, and the rule that it breaks."""
    if given is None or isinstance(given, dict):
        return rule
    shown = str(given)[:_MAX_SHOWN] or "nothing"
    return f"{shown}: {in_words(rule)}"


_WORDS = (
    (r"Input should be a valid integer.*", "must be a whole number"),
    (r"Input should be a valid number.*", "must be a number"),
    (r"Input should be a valid (?:datetime|date|time).*", "must be a time, e.g. 2026-01-05T18:00"),
    (r"Input should be a valid boolean.*", "must be yes or no"),
    (r"Input should be greater than or equal to (.+)", r"must be at least \1"),
    (r"Input should be less than or equal to (.+)", r"must be at most \1"),
    (r"Input should be greater than (.+)", r"must be more than \1"),
    (r"Input should be less than (.+)", r"must be less than \1"),
    (r"Input should have timezone info", "must say its time zone, e.g. 2026-01-05T18:00Z"),
    (
        r"String should match pattern '\^\[a-z0-9\]\(\[a-z0-9\.-\]\*\[a-z0-9\]\)\?\$'",
        "must be lower-case letters, digits, dots and dashes",
    ),
    (
        r"String should match pattern '\^\[a-z0-9\.-\]\+/\[a-z0-9\.-\]\+\$'",
        "must be a workload as namespace/name",
    ),
    (r"String should have at least 1 character", "must not be empty"),
    (r"String should have at most (\d+) characters", r"must have at most \1 characters"),
    (r"(?:List|Tuple|Set) should have at least 1 item.*", "must not be empty"),
    (r"(?:List|Tuple|Set) should have at most (\d+) items.*", r"must be at most \1"),
    (r"Input should be", "must be"),
    (r"String should", "must"),
)
"""Rules as pydantic words them, and as people do; the first that fits."""


def in_words(rule: str) -> str:
    """A rule of pydantic's in the words of people; any other as it is."""
    for pattern, words in _WORDS:
        found, n = re.subn(f"^{pattern}", words, rule)
        if n:
            return found
    return rule


def at_field(error: InvalidInput, names: list[str]) -> InvalidInput:
    """The error of the field that it begins with or points to, if it is one of `names`."""
    if isinstance(error, FieldErrors):
        return error
    pointed = error.pointer.strip("/").rpartition("/")[2]
    begun = error.message.partition("=")[0].split(":")[-1].strip()
    for name in (pointed, begun):
        if name in names:
            return FieldErrors({name: error.message})
    return error


def errors_of(problem: HarmonyError | None) -> dict[str, str]:
    """Errors by field; none where the problem is not one of fields."""
    return problem.fields if isinstance(problem, FieldErrors) else {}


def renamed(error: HarmonyError, names: Mapping[str, str]) -> HarmonyError:
    """An error of fields by the form's own `names` of them; any other as it is."""
    if not isinstance(error, FieldErrors):
        return error
    return FieldErrors({names.get(name, name): words for name, words in error.fields.items()})


def time_of(text: str, name: str) -> datetime | None:
    """A time of a form, in UTC; None: it is empty.

    Raises:
        FieldErrors: It is none.
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        rule = "must be a time in UTC, e.g. 2026-01-05T18:00"
        raise FieldErrors({name: words_for(text, rule)}) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
