"""What a workload's spec refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec


def spec(**indicator: Any) -> WorkloadSpec:
    campaign = IndicatorSpec(name="campaign", level=1, is_known_ahead=True)
    demand = IndicatorSpec(**{"name": "load_rps", "level": 1, **indicator})
    return WorkloadSpec(
        target="Deployment/x",
        demand="load_rps",
        indicators=(campaign, demand),
        capacity=CapacitySpec(per_replica=1.0),
    )


def test_a_schedule_may_stand_beside_the_demand() -> None:
    assert [one.is_known_ahead for one in spec().indicators] == [True, False]
    assert WorkloadSpec.model_validate_json(spec().model_dump_json()) == spec()


@pytest.mark.parametrize(
    ("indicator", "words"),
    [
        ({"is_known_ahead": True}, "demand='load_rps' must not be known ahead"),
        ({"is_known_ahead": True, "kind": "counter"}, "kind='counter' of 'load_rps'"),
        ({"is_known_ahead": True, "query": "sum(load)"}, r"query='sum\(load\)' of 'load_rps'"),
    ],
)
def test_what_cannot_be_known_ahead(indicator: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        spec(**indicator)
