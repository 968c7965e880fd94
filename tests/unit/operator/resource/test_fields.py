"""Scalars of the custom resources are read with their units and written as they were."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.operator.resource.fields import Decimal, Duration, Name, ResourceModel


class Sample(ResourceModel):
    """One of each."""

    wait_s: Duration
    cost_factor: Decimal
    own_name: Name


def test_names_are_those_of_yaml_and_values_come_back() -> None:
    given = {"waitS": "5m", "costFactor": "0.25", "ownName": "a-1", "unknown": 1}
    found = Sample.model_validate(given)
    assert (found.wait_s, found.cost_factor, found.own_name) == (300.0, 0.25, "a-1")
    assert found.to_manifest() == {"waitS": "5m", "costFactor": "0.25", "ownName": "a-1"}


@pytest.mark.parametrize(
    ("field", "value"), [("waitS", "5"), ("costFactor", "a"), ("ownName", "A"), ("ownName", "")]
)
def test_what_has_no_unit_or_is_no_name_is_refused(field: str, value: str) -> None:
    given = {"waitS": "5m", "costFactor": "0.25", "ownName": "a-1"} | {field: value}
    with pytest.raises(ValidationError):
        Sample.model_validate(given)


class Texts(ResourceModel):
    """Texts, alone, in a list and further down."""

    query: str = ""
    also: tuple[str, ...] = ()
    within: tuple[Sample, ...] = ()


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"query": "sum(a)\0"}, ("query",)),
        ({"also": ["a", "\0"]}, ("also",)),
        ({"within": [{"waitS": "5m\0", "costFactor": 1, "ownName": "a"}]}, ("within", 0, "waitS")),
    ],
)
def test_a_text_that_no_column_holds_is_refused(given: dict[str, Any], place: tuple[Any]) -> None:
    with pytest.raises(ValidationError, match="must not contain the character NUL") as refused:
        Texts.model_validate(given)
    assert refused.value.errors()[0]["loc"] == place
