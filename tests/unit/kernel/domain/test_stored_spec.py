"""Specs as they are stored: read once, and as far as this release knows them."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from services.kernel.domain import (
    CapacitySpec,
    IndicatorSpec,
    WorkloadSpec,
    known_spec,
    read_spec,
)

SPEC = WorkloadSpec(
    target="Deployment/x",
    demand="load_rps",
    indicators=(IndicatorSpec(name="load_rps", level=1),),
    capacity=CapacitySpec(per_replica=1.0),
)


def test_a_stored_spec_may_hold_what_a_later_release_knows() -> None:
    later = SPEC.model_dump(mode="json")
    for place in (later, later["sla"], later["capacity"], later["indicators"][0]):
        place["of_a_later_release"] = {"a": [1]}
    assert known_spec(later) == SPEC
    assert read_spec(json.dumps(later)) == SPEC
    with pytest.raises(ValidationError, match="of_a_later_release"):
        WorkloadSpec.model_validate(later)


def test_a_text_is_read_once() -> None:
    text = SPEC.model_dump_json()
    assert read_spec(text) is read_spec(text)
