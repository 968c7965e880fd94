"""What decided workloads may need, from the rows of their requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decider import PEAK_LEVELS, USES, Decision, MissDraws, Sla
from services.decision.headroom.needs import (
    headroom_of,
    need_rows,
    peaks_of,
    told_headroom,
)
from services.decision.headroom.repository import NEED_COLUMNS
from services.decision.rows.prepare import Prepared, RequestRow, prepare
from tests.unit.decision.rows.pool_members import NOW, forecast, member, pool, rows, state
from tests.unit.decision.rows.test_service_decision import decided, with_counts

BOTH = {"H100", "A100"}


def prepared(**changes: Any) -> Prepared:
    seen = state(prefill=pool(4), decode=pool(8))
    (found,) = prepare({1: member(**changes)}, [forecast()], rows(states={1: [seen]}), NOW)
    return found


def of_rows(found: Prepared, change: Any) -> Prepared:
    return replace(found, rows=tuple(change(row) for row in found.rows))


def by_name(values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(NEED_COLUMNS, values, strict=True))


def test_each_pool_says_what_it_may_need_of_its_own_type() -> None:
    found = prepared()
    decisions: tuple[Decision, ...] = decided(5, 7)
    prefill, decode = map(by_name, need_rows(found, peaks_of(found, BOTH), decisions, NOW))
    assert [one["part"] for one in (prefill, decode)] == ["prefill", "decode"]
    assert [one["gpu_type"] for one in (prefill, decode)] == ["H100", "A100"]
    assert prefill["held_replicas"] == max(decisions[0].current, decisions[0].final)
    assert len(prefill["peaks"]) == found.request.horizon * len(PEAK_LEVELS)
    assert prefill["decided_at"] == NOW


def test_who_is_counted_by_no_budget_needs_no_nodes() -> None:
    found = of_rows(
        prepared(), lambda row: replace(row, member=replace(row.member, is_budgeted=False))
    )
    assert peaks_of(found, BOTH) == (None, None)


@pytest.mark.parametrize("mode", ["Advisory", "Approval"])
def test_what_is_only_advised_or_waits_for_an_approval_is_not_held(mode: str) -> None:
    found = prepared(mode=mode)
    rising = with_counts(decided(4, 8), (4, 9), (8, 12))
    for one in map(by_name, need_rows(found, peaks_of(found, BOTH), rising, NOW)):
        assert one["held_replicas"] == one["current_replicas"] in (4, 8)
        assert one["max_replicas"] >= one["held_replicas"]


def test_nothing_is_said_where_nodes_are_not_added_or_nothing_is_forecast() -> None:
    found = prepared()
    assert peaks_of(found, ()) == (None, None)
    first, second = peaks_of(found, {"A100"})
    assert first is None
    assert second is not None
    assert len(need_rows(found, (None, second), decided(5, 7), NOW)) == 1

    def without(row: RequestRow) -> RequestRow:
        return replace(row, given=replace(row.given, forecast_rung=""))

    def spoilt(row: RequestRow) -> RequestRow:
        return replace(row, paths=np.full_like(row.paths, np.nan))

    for change in (without, spoilt):
        assert peaks_of(of_rows(found, change), BOTH) == (None, None)


def test_the_tightest_load_counts() -> None:
    found = prepared()

    def bound(row: RequestRow) -> RequestRow:
        further = np.stack([3.0 * row.paths])
        return replace(row, further=further, given=replace(row.given, further_capacity=(1e-3,)))

    alone, tight = peaks_of(found, BOTH)[0], peaks_of(of_rows(found, bound), BOTH)[0]
    assert alone is not None
    assert tight is not None
    assert (tight > alone).all()


def test_a_service_is_told_of_its_own_type() -> None:
    ready = {"gpu_type": "A100", "gpus": 8}
    told = told_headroom({"A100": {"headroom": ready}, "H100": {"headroom": None}, "L4": {}})  # type: ignore[dict-item]
    assert told == {"A100": ready}
    rows_ = prepared().rows
    assert headroom_of(told, rows_) == ready
    assert headroom_of(told, rows_[:1]) is None


def test_a_response_says_how_far_out_of_sla_a_missing_replica_leaves_it() -> None:
    found = prepared()
    n_draws = found.rows[0].capacity.size
    alone = [np.full(n_draws, one) for one in (10.0, 12.0, 0.0, 60.0, 1.0)]
    learned = MissDraws(*alone, further=np.full((n_draws, 1), 200.0))
    promising = tuple(
        replace(one, sla=Sla(0.01, "DemandFraction", good_share=0.95))
        for one in found.request.workloads
    )
    request = replace(found.request, workloads=promising, responses=(learned, learned))
    with_one = replace(found, request=request)
    silent, told = (
        by_name(need_rows(one, peaks_of(one, BOTH), decided(5, 7), NOW)[0])["risk_at_use"]
        for one in (found, with_one)
    )
    assert silent is None
    assert len(told) == len(USES)
    assert (np.diff(told) > 0).all()
    assert 0.0 < told[0] < told[-1] <= 1.0
