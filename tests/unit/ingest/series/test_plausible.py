"""A load is refused far above what its workload could ever carry, and never for being too much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.ingest.series.plausible import (
    MOST_TIMES,
    PLAUSIBLE_ANYWAY,
    largest_loads,
    plausible_rule,
    screen_steps,
)
from services.ingest.series.resample import Resampled
from services.kernel.domain import WorkloadSpec

POSITIVE = st.floats(1e-300, 1e300)


def _largest(
    per_replica: float, max_replicas: int, further: float = 1.0, **more: object
) -> dict[str, float]:
    names = ("load_rps", "output_tokens_per_s")
    spec = WorkloadSpec.model_validate(
        {
            "target": "Deployment/llama",
            "indicators": [{"name": name, "level": 1} for name in names],
            "demand": names[0],
            "max_replicas": max_replicas,
            "capacity": {
                "per_replica": per_replica,
                "also_bound_by": [{"indicator": names[1], "per_replica": further}],
            },
            **more,
        }
    )
    return largest_loads(spec)


@given(POSITIVE, st.integers(1, 100_000), POSITIVE)
def test_a_service_in_overload_is_never_refused(
    per_replica: float, max_replicas: int, further: float
) -> None:
    largest = _largest(per_replica, max_replicas, further)
    assert list(largest) == ["load_rps", "output_tokens_per_s"]
    for carried, bound in zip((per_replica, further), largest.values(), strict=True):
        assert bound >= 500 * carried * max_replicas
        assert bound >= 100_000


@given(st.floats(1e-9, 1e9), st.integers(1, 100_000))
def test_what_no_fleet_of_it_could_carry_is_refused(per_replica: float, max_replicas: int) -> None:
    carried = per_replica * max_replicas
    assert _largest(per_replica, max_replicas)["load_rps"] < max(1e4 * carried, 1e6)


@given(st.floats(1e-9, 1e9), st.integers(1, 99_999))
def test_more_replicas_or_a_larger_capacity_never_lower_the_bound(
    per_replica: float, max_replicas: int
) -> None:
    bound = _largest(per_replica, max_replicas)["load_rps"]
    assert _largest(per_replica, max_replicas + 1)["load_rps"] >= bound
    assert _largest(2 * per_replica, max_replicas)["load_rps"] >= bound


def test_a_capacity_that_is_absurdly_small_leaves_room_for_real_loads() -> None:
    assert _largest(1e-8, 10)["load_rps"] == PLAUSIBLE_ANYWAY


def test_the_largest_part_counts_where_it_may_be_larger_than_the_whole() -> None:
    part: dict[str, object] = {"gpu_type": "H100"}
    pools: list[dict[str, object]] = [
        {"name": "prefill", "target": "Deployment/p", "loads": ["load_rps"], **part},
        {
            "name": "decode",
            "target": "Deployment/d",
            "loads": ["output_tokens_per_s"],
            "max_replicas": 70,
            **part,
        },
    ]
    assert _largest(1e4, 10, pools=pools)["load_rps"] == MOST_TIMES * 1e4 * 70
    pools[1] |= {"max_replicas": 5}
    assert _largest(1e4, 10, pools=pools)["load_rps"] == MOST_TIMES * 1e4 * 10


def test_the_rule_says_what_would_be_right() -> None:
    rule = plausible_rule(250_000.0)
    assert "at most 250000" in rule
    assert "1000 times" in rule
    assert "unit" in rule


def test_steps_of_implausible_loads_become_unobserved_and_no_others() -> None:
    value = np.array([[1.0, 11.0, np.nan], [5.0, 4.0, 6.0]], dtype=np.float32)
    observed = np.array([[True, True, False], [True, False, True]])
    kept, refused = screen_steps(Resampled(value, observed), np.array([10.0, 5.5]))
    assert refused.tolist() == [[False, True, False], [False, False, True]]
    assert kept.observed.tolist() == [[True, False, False], [True, False, False]]
    assert np.isnan(kept.value[refused]).all()
    assert kept.value[0, 0] == pytest.approx(1.0)
