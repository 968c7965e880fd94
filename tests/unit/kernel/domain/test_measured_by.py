"""By what an indicator is measured."""

from __future__ import annotations

import pytest

from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.kernel.domain.measured_by import MEASURED_BY, is_learned_for, measured_by

DEMAND = IndicatorSpec(name="load_rps", level=1, unit="requests/s", query="sum(rate(x[$step]))")
OTHER = IndicatorSpec(name="gpu_duty_ratio", level=3, unit="ratio", query="avg(y)")


def spec(*indicators: IndicatorSpec) -> WorkloadSpec:
    capacity = CapacitySpec(per_replica=10.0)
    return WorkloadSpec(
        target="Deployment/x", demand="load_rps", indicators=indicators, capacity=capacity
    )


@pytest.mark.parametrize(
    "update",
    [{"query": "60 * sum(rate(x[$step]))"}, {"unit": "requests/min"}, {"kind": "counter"}],
)
def test_another_query_unit_or_kind_is_another_measure(update: dict[str, str]) -> None:
    before = measured_by(spec(DEMAND, OTHER), ["load_rps"])
    assert before == measured_by(spec(OTHER, DEMAND), ["load_rps"])
    assert before == measured_by(spec(DEMAND, OTHER.model_copy(update=update)), ["load_rps"])
    assert before != measured_by(spec(DEMAND.model_copy(update=update), OTHER), ["load_rps"])


def test_what_an_earlier_release_learned_counts_as_of_todays_queries() -> None:
    present = {"demand": "load_rps", MEASURED_BY: "a"}
    assert is_learned_for({"learned_for": {"demand": "load_rps"}}, present)
    assert is_learned_for({"learned_for": present}, present)
    assert not is_learned_for({"learned_for": present | {MEASURED_BY: "b"}}, present)
    assert not is_learned_for({"learned_for": {"demand": "other_rps"}}, present)
    assert not is_learned_for({}, present)
