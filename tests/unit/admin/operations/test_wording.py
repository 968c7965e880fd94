"""What a backtest's page says: the useful part of a frontier, figures, names of policies."""

from __future__ import annotations

from typing import get_args

from hypothesis import given, strategies as st

from services.admin.operations import wording
from services.admin.operations.schemas import FrontierPoint, Policy

_VALUE = st.none() | st.floats(0.0, 1.0)


def point(rate: float | None, cost: float | None) -> FrontierPoint:
    return FrontierPoint(setting="s", violation_rate=rate, cost_usd=cost, hours_out_of_sla=None)


@given(st.lists(st.tuples(_VALUE, _VALUE), max_size=30))
def test_no_point_of_a_front_is_beaten_and_every_point_left_out_is(
    values: list[tuple[float | None, float | None]],
) -> None:
    points = [point(*one) for one in values]
    front = wording.front(points)
    pairs = [(p.violation_rate or 0.0, p.cost_usd or 0.0) for p in front]
    assert pairs == sorted(pairs)
    costs = [cost for _, cost in pairs]
    assert costs == sorted(set(costs), reverse=True)
    for rate, cost in values:
        if rate is None or cost is None or rate > wording.MAX_RATE:
            continue
        assert any(r <= rate and c <= cost for r, c in pairs)


def test_unknown_figures_stay_unknown() -> None:
    (run,) = wording.runs({"runs": [{"epsilon": 0.01, "policies": {"hpa": {}}}]})
    assert run.verdict == "No verdict."
    assert (run.policies[0].cost_usd, run.policies[0].is_kept) == (None, None)
    assert wording.runs({}) == []


def test_every_policy_that_can_be_asked_for_has_a_name() -> None:
    names = [wording.policy_name(name) for name in get_args(Policy)]
    assert len(set(names)) == len(names)
    assert all("_" not in name for name in names)


def test_a_verdict_names_policies_as_people_do() -> None:
    assert (
        wording.in_words("9 % cheaper than trailing_percentile, not than hpa.")
        == "9 % cheaper than trailing percentile, not than HPA."
    )
