"""Specs as they are stored: read once, and as far as this release knows them."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from services.kernel.domain import WorkloadSpec, known_spec, read_spec
from services.kernel.domain.stored_spec import MOST_KEPT

SPEC = {
    "target": "Deployment/w",
    "demand": "request_rate_rps",
    "indicators": [{"name": "request_rate_rps", "level": 1}],
    "capacity": {"per_replica": 10.0},
}


def test_the_same_text_is_checked_once() -> None:
    text = json.dumps(SPEC)
    assert read_spec(text) == WorkloadSpec.model_validate(SPEC)
    assert read_spec(json.dumps(SPEC)) is read_spec(text)


def test_a_changed_spec_is_another_text() -> None:
    changed = json.dumps(SPEC | {"max_replicas": 3})
    assert (read_spec(json.dumps(SPEC)).max_replicas, read_spec(changed).max_replicas) == (10, 3)


def test_a_bad_spec_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ValidationError, match="min_replicas=11 must be <= max_replicas=10"):
            read_spec(json.dumps(SPEC | {"min_replicas": 11}))


def test_what_is_kept_is_bounded() -> None:
    assert read_spec.cache_info().maxsize == MOST_KEPT


def test_a_stored_spec_may_hold_what_a_later_release_knows() -> None:
    spec = WorkloadSpec.model_validate(SPEC)
    later = spec.model_dump(mode="json")
    for place in (later, later["sla"], later["capacity"], later["indicators"][0]):
        place["of_a_later_release"] = {"a": [1]}
    assert known_spec(later) == spec
    assert read_spec(json.dumps(later)) == spec
    with pytest.raises(ValidationError, match="of_a_later_release"):
        WorkloadSpec.model_validate(later)
