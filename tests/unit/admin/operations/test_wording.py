"""What a backtest's page says: the useful part of a frontier, figures, names of policies."""

from __future__ import annotations

from typing import Any, get_args

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


def advisory(costs: list[float | None]) -> dict[str, Any]:
    """The result of a report over services of these costs."""
    return {
        "from_at": "2026-01-01T00:00:00+00:00",
        "to_at": "2026-01-08T12:30:00+00:00",
        "services": [{"today": {"cost_usd": cost}} for cost in costs],
        "rows": [{"workload": f"prod/s{k}"} for k in range(len(costs))],
        "verdict": "Nothing can be compared yet.",
        "notes": ["a note"],
    }


def test_a_report_shows_the_dearest_services_first() -> None:
    found = wording.advice_of(advisory([3.0, None, 7.0]))
    assert [row["workload"] for row in found.rows] == ["prod/s2", "prod/s0", "prod/s1"]
    assert found.window == "1 Jan 00:00 to 8 Jan 12:30 UTC"
    assert (found.n_more, found.notes) == (0, ["a note"])


def test_a_page_has_no_more_services_than_it_can_bear() -> None:
    n = wording.MOST_SERVICES
    found = wording.advice_of(advisory([float(k) for k in range(n + 3)]))
    assert (len(found.rows), found.n_more) == (n, 3)
    assert found.rows[-1]["workload"] == "prod/s3"
