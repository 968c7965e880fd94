"""Rate limits at the patch: those of a decision, with what was applied since."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.kernel.domain import WorkloadSpec
from services.operator.plan.rates import PastChange, TargetRates, has_rates, yields_to_budget
from tests.unit.operator.examples import NOW, situation

changes = st.lists(
    st.builds(
        PastChange,
        st.integers(0, 200).map(lambda s: NOW - timedelta(seconds=s)),
        st.integers(-3, 3),
    ),
    max_size=5,
)


def spec(**behavior: Any) -> WorkloadSpec:
    found = situation(4, behavior=behavior, maxReplicas=50).spec
    assert found is not None
    return found


def pods(n: int, period_s: int = 60) -> dict[str, Any]:
    return {"policies": [{"type": "Pods", "value": n, "periodSeconds": period_s}]}


def percent(n: int) -> dict[str, Any]:
    return {"policies": [{"type": "Percent", "value": n, "periodSeconds": 60}]}


@pytest.mark.parametrize(
    ("behavior", "wanted", "count"),
    [
        ({}, 9, 9),
        ({"scaleUp": pods(2)}, 9, 6),
        ({"scaleUp": pods(2)}, 1, 1),
        ({"scaleDown": pods(1)}, 1, 3),
        ({"scaleUp": percent(50)}, 9, 6),
        ({"scaleDown": percent(50)}, 1, 2),
        ({"scaleUp": {"selectPolicy": "Disabled"}}, 9, 4),
    ],
)
def test_the_furthest_count(behavior: dict[str, Any], wanted: int, count: int) -> None:
    assert TargetRates(spec(**behavior), [], NOW).furthest(4, wanted) == count


def test_what_was_applied_within_the_period_counts() -> None:
    limited = spec(scaleUp=pods(1))
    for age_s, count in ((59, 4), (60, 5)):
        before = [PastChange(NOW - timedelta(seconds=age_s), 1)]
        assert TargetRates(limited, before, NOW).furthest(4, 6) == count


def test_a_count_out_of_its_bounds_comes_back_at_any_rate() -> None:
    assert TargetRates(spec(scaleDown=pods(1)), [], NOW).furthest(60, 50) == 50


def test_from_its_bounds_a_count_goes_on_at_the_rate_of_any() -> None:
    assert TargetRates(spec(scaleDown=pods(1)), [], NOW).furthest(60, 3) == 49
    disabled = spec(scaleDown={"selectPolicy": "Disabled"})
    assert TargetRates(disabled, [], NOW).furthest(60, 3) == 50
    assert TargetRates(spec(scaleUp=pods(2)), [], NOW).furthest(0, 9) == 3
    assert TargetRates(spec(), [], NOW).furthest(60, 3) == 3


@given(changes, st.integers(0, 60), st.integers(0, 60), st.integers(1, 4))
def test_it_is_never_further_than_wanted_nor_the_other_way(
    before: list[PastChange], current: int, wanted: int, rate: int
) -> None:
    limits = TargetRates(spec(scaleUp=pods(rate), scaleDown=pods(rate)), before, NOW)
    count = limits.furthest(current, wanted)
    assert min(current, wanted) <= count <= max(current, wanted)


def test_which_specs_have_rates_and_which_decisions_yield() -> None:
    assert has_rates(spec(scaleUp=pods(1)))
    assert has_rates(spec(scaleDown={"selectPolicy": "Disabled"}))
    assert not has_rates(spec())
    assert yields_to_budget("gpu_budget", ())
    assert yields_to_budget("bounds", ("gpu_budget",))
    assert not yields_to_budget(None, ("bounds",))


def test_what_may_not_have_been_made_gives_no_room() -> None:
    """Found by `harmony bench faults`: a fall answered with 500 let a rise be too fast."""
    limited = spec(scaleUp=pods(2), scaleDown=pods(2))
    rise = PastChange(NOW - timedelta(seconds=9), 2)
    fall = PastChange(NOW - timedelta(seconds=5), -2, is_sure=False)
    assert TargetRates(limited, [rise, fall], NOW).furthest(3, 6) == 3
    assert TargetRates(limited, [fall], NOW).furthest(3, 1) == 3
