"""Series of an objective on the grid, and which of its goals are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.decision.rows.sli_series import GoalCounts, SliSeries, goal_counts, to_series
from services.kernel.domain.objective import ObjectiveSpec
from tests.unit.decision.rows.measured_workloads import (
    GRID,
    ORIGIN_S,
    STEP_S,
    TTFT,
    measured_member,
    sampled,
)

NAN = float("nan")


def objective_of(*goals: dict[str, Any], **changes: Any) -> ObjectiveSpec:
    found = measured_member(*goals, **changes).spec.sla.objective
    assert found is not None
    return found


def found(objective: ObjectiveSpec, was_measured: bool = False, **counts: Any) -> GoalCounts:
    return goal_counts(objective, to_series(objective, sampled(**counts), GRID, was_measured))


def test_the_grid_ends_with_the_last_step() -> None:
    assert GRID.starts_s.tolist() == [ORIGIN_S - STEP_S * back for back in range(11, -1, -1)]


def test_rates_become_counts_a_queue_stays_a_number_and_a_gap_a_gap() -> None:
    series = to_series(
        objective_of(), sampled(ttft_total=[30.0, NAN, 60.0], waiting=[4.0]), GRID, False
    )
    np.testing.assert_allclose(series.of("sli_ttft_total")[-4:], [NAN, 30.0, NAN, 60.0])
    assert series.of("sli_waiting")[-1] == 4.0
    assert np.isnan(series.of("sli_ttft_good")).all()
    outside = {"sli_waiting": (np.array([ORIGIN_S + STEP_S, ORIGIN_S - 99 * STEP_S]), np.ones(2))}
    assert not np.isfinite(to_series(objective_of(), outside, GRID, False).of("sli_waiting")).any()
    endless = {"sli_waiting": (np.array([ORIGIN_S]), np.array([np.inf]))}
    assert np.isnan(to_series(objective_of(), endless, GRID, False).of("sli_waiting")[-1])


def test_a_series_is_there_with_a_query_a_sample_or_if_it_was_once_measured() -> None:
    pushed = objective_of(series=()).model_copy(
        update={"series": objective_of(series=("sli_lost",)).series}
    )
    silent = pushed.model_copy(
        update={"series": tuple(s.model_copy(update={"query": ""}) for s in pushed.series)}
    )

    def is_there(objective: ObjectiveSpec, was_measured: bool = False, **counts: Any) -> bool:
        series: SliSeries = to_series(objective, sampled(**counts), GRID, was_measured)
        return series.is_there("sli_lost")

    assert is_there(pushed)
    assert not is_there(silent)
    assert is_there(silent, lost=[0.0])
    assert is_there(silent, was_measured=True)


def test_without_an_upper_edge_the_good_ones_are_exact() -> None:
    counts = found(objective_of(), ttft_total=[100.0], ttft_good=[90.0]).counts
    assert counts is not None
    assert (counts.upto[0, -1], counts.is_of_requests.tolist()) == (90.0, [True])
    counts = found(objective_of(), ttft_total=[100.0], ttft_good=[90.0], ttft_upto=[95.0]).counts
    assert counts is not None
    assert counts.upto[0, -1] == pytest.approx(95.0)


def test_a_goal_without_its_series_is_left_out_and_named() -> None:
    objective = objective_of(TTFT, {"metric": "e2e", "threshold_s": 9.0})
    some = found(objective, ttft_total=[100.0], ttft_good=[90.0], e2e_total=[90.0])
    assert [goal.metric for goal in some.goals] == ["ttft"]
    assert some.missing == ("sli_e2e_good",)
    none = found(objective_of(series=()))
    assert (none.counts, none.missing) == (None, ("sli_ttft_total", "sli_ttft_good"))


def test_errors_are_what_was_lost_and_unknown_where_that_is() -> None:
    objective = objective_of({"metric": "errors"}, series=("sli_errors_total", "sli_lost"))
    counts = found(objective, errors_total=[100.0, 100.0], lost=[3.0, NAN]).counts
    assert counts is not None
    np.testing.assert_allclose(counts.good[0, -2:], [100.0, NAN])
    assert counts.lost[-2] == pytest.approx(3.0)
    without = found(objective_of({"metric": "errors"}, series=("sli_errors_total",)))
    assert without.missing == ("sli_lost",)


def test_tokens_are_told_from_requests() -> None:
    itl = {"metric": "itl", "threshold_s": 0.1}
    counts = found(objective_of(itl, series=()), itl_total=[2000.0], itl_good=[1990.0]).counts
    assert counts is not None
    assert counts.is_of_requests.tolist() == [False]


def between_edges(**edges: float) -> ObjectiveSpec:
    """A goal of 40 ms per token, between the edges that are told of `good` and `upto`."""
    series = [
        {"name": f"sli_tpot_{part}", "edge_s": edges.get(part)}
        for part in ("total", "good", "upto", "sum")
    ]
    goal = {"metric": "tpot", "threshold_s": 0.04}
    return ObjectiveSpec.model_validate({"goals": [goal], "series": series})


def test_between_two_edges_that_are_told_the_sum_says_what_met_the_goal() -> None:
    # 100 requests of 29 ms on average, of which 80 are above 25 ms and one above 50 ms
    tokens = {"tpot_total": [100.0] * 4, "tpot_good": [20.0] * 4, "tpot_upto": [99.0] * 4}
    given = between_edges(good=0.025, upto=0.05)
    told = found(given, **tokens, tpot_sum=[2.9] * 4).counts
    assert told is not None
    assert 90.0 < told.probably_met()[0, -1] < 99.0
    untold = found(given, **tokens).counts
    assert untold is not None
    assert untold.probably_met()[0, -1] == untold.good[0, -1]
    without_edges = found(between_edges(), **tokens, tpot_sum=[2.9] * 4).counts
    assert without_edges is not None
    assert without_edges.likely == (None,)
