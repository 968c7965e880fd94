"""Scalars of the custom resources are read with their units and written as they were."""

from __future__ import annotations

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
