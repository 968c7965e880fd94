"""Forms of the console: what is wrong stands beside its field; who was faster is said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.admin.controls.schemas import PolicyView
from services.admin.rest import formats
from services.kernel.errors import HarmonyError, InvalidInput, PreconditionFailed

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
    """What a form asks for, under the rules of the REST API.

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
        raise beside(InvalidInput(whole), list(model.model_fields)) from error


def words_for(given: object, rule: str) -> str:
    """What was given and why that cannot be used."""
    if given is None or isinstance(given, dict):
        return rule
    shown = str(given)[:_MAX_SHOWN] or "nothing"
    rule = rule.replace("Input should be", "must be").replace("String should", "must")
    return f"{shown}: {rule}"


def beside(error: InvalidInput, names: list[str]) -> InvalidInput:
    """The error beside the field that it begins with or points to, if it is one of `names`."""
    if isinstance(error, FieldErrors):
        return error
    pointed = error.pointer.strip("/").rpartition("/")[2]
    begun = error.message.partition("=")[0].split(":")[-1].strip()
    for name in (pointed, begun):
        if name in names:
            return FieldErrors({name: error.message})
    return error


def errors_of(problem: HarmonyError | None) -> dict[str, str]:
    """What is wrong, by field."""
    return problem.fields if isinstance(problem, FieldErrors) else {}


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


def stale(policy: PolicyView, now: datetime) -> PreconditionFailed:
    """What is said to somebody who changes what was changed since they looked."""
    who = policy.updated_by or "somebody"
    when = f", {formats.ago(policy.updated_at, now)}" if policy.updated_at else ""
    return PreconditionFailed(
        f"Somebody else has changed what is set for {policy.namespace}/{policy.workload} since "
        f"you opened this page ({who}{when}). What stands now is shown; what you entered is kept "
        "in the form. Look at both and save again."
    )
