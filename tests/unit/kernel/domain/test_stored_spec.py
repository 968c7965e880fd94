"""Specs as they are stored: read once, and as far as this release knows them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from services.kernel.domain import (
    StoredTarget,
    WorkloadSpec,
    known_spec,
    read_spec,
    stored_targets,
)
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


PARTS = [
    {"name": "h100", "target": "Deployment/w-h100", "gpu_type": "H100", "gpus_per_replica": 2},
    {"name": "l4", "target": "StatefulSet/w-l4", "gpu_type": "L4", "max_replicas": 7},
]
POOLS = [
    part | {"loads": [load]} for part, load in zip(PARTS, ("request_rate_rps", "b"), strict=True)
]
TWO_LOADS = {
    "indicators": [{"name": name, "level": 1} for name in ("request_rate_rps", "b")],
    "capacity": {"per_replica": 10.0, "also_bound_by": [{"indicator": "b", "per_replica": 2.0}]},
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gpus_per_replica": 4, "max_replicas": 3},
        {"variants": PARTS},
        TWO_LOADS | {"pools": POOLS},
    ],
)
def test_the_targets_of_a_spec_are_told_without_checking_it(changes: dict[str, Any]) -> None:
    spec = known_spec(SPEC | changes)
    wanted = [
        StoredTarget(
            getattr(part, "name", ""),
            part.target,
            part.gpu_type,
            part.gpus_per_replica,
            part.min_replicas,
            part.max_replicas or spec.max_replicas,
        )
        for part in spec.parts or (spec,)
    ]
    assert list(stored_targets(SPEC | changes)) == wanted
    assert list(stored_targets(spec.model_dump(mode="json"))) == wanted


def test_of_a_spoilt_spec_what_can_be_told_of_its_targets() -> None:
    spoilt = SPEC | {
        "demand": "none such",
        "capacity": 3,
        "gpus_per_replica": 4,
        "min_replicas": "x",
    }
    assert stored_targets(spoilt) == (StoredTarget("", "Deployment/w", "H100", 4, 1, 10),)
    parts: list[Any] = [PARTS[0] | {"min_replicas": -1}, "l4", PARTS[1] | {"gpu_type": None}]
    assert stored_targets(SPEC | {"variants": parts, "max_replicas": True}) == (
        StoredTarget("h100", "Deployment/w-h100", "H100", 2, 0, 10),
    )
    (whole,) = stored_targets(SPEC | {"pools": "x", "variants": {"a": 1}})
    assert whole.target == "Deployment/w"
    for nothing in (None, "x", 3, [], {}, {"target": 5}, SPEC | {"pools": [3]}):
        assert stored_targets(nothing) == ()
