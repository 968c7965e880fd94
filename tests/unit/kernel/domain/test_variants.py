"""Variants of a workload: what is refused, and how they count in reference replicas."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from services.kernel.domain import WorkloadSpec
from services.kernel.domain.variants import VariantSpec, VariantStart, unit_ages, whole_units


def variant(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "target": f"Deployment/{name}", "gpu_type": "H100"} | changes


def workload(*variants: dict[str, Any]) -> WorkloadSpec:
    return WorkloadSpec.model_validate(
        {
            "target": "Deployment/w",
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}],
            "capacity": {"per_replica": 10.0},
            "variants": list(variants),
        }
    )


def test_variants_are_kept_as_they_are_given() -> None:
    spec = workload(variant("a"), variant("b", capacity_per_replica=5.0, max_replicas=4))
    assert [v.ratio(spec.capacity.per_replica) for v in spec.variants] == [1.0, 0.5]
    assert WorkloadSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert workload().variants == ()


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ([variant("a"), variant("a", target="Deployment/b")], "each name must be given once"),
        ([variant("a"), variant("b", target="Deployment/a")], "each target must be given once"),
        ([variant("a", min_replicas=3, max_replicas=2)], "min_replicas=3 of variant 'a'"),
        ([variant("a", capacity_per_replica=0)], "greater than 0"),
        ([variant("a", capacity_per_replica=float("inf"))], "finite"),
        ([variant("a", gpus_per_replica=0)], "greater than or equal to 1"),
        ([variant(f"v{i}") for i in range(9)], "9 given, at most 8"),
    ],
)
def test_what_cannot_be_is_refused(variants: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        workload(*variants)


def test_starts_complete_reference_replicas() -> None:
    """Half replicas of ages 9, 7 and 5 beside 1.5 that serve: the first and the third complete."""
    assert unit_ages([VariantStart(age, 0.5) for age in (5.0, 9.0, 7.0)], 1.5) == ((9.0, 5.0), 3.0)
    assert unit_ages([VariantStart(4.0, 3.0)], 0.0) == ((4.0, 4.0, 4.0), 3.0)


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.sampled_from([0.1, 0.3, 0.5, 1.0, 2.5]))),
    st.floats(0, 50),
)
def test_no_more_starts_than_the_capacity_is_worth(
    starts: list[tuple[float, float]], before: float
) -> None:
    ages, total = unit_ages(starts, before)
    assert len(ages) == whole_units(total) - whole_units(before)
    assert list(ages) == sorted(ages, reverse=True)


def test_a_variant_stands_for_its_own_capacity_or_the_reference() -> None:
    plain = VariantSpec(name="a", target="Deployment/a", gpu_type="H100")
    assert plain.ratio(10.0) == 1.0
    assert plain.model_copy(update={"capacity_per_replica": 25.0}).ratio(10.0) == 2.5
