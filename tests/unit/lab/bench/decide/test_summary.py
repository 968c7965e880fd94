"""The verdict over data sets, from parts of documents made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.lab.bench.decide.summary import MIN_DAYS, compare, interval_of, summarise

KEY = "0.01"
MATCHED = {"harmony": 1.5, "hpa": 3.0, "hpa_clipped": 2.5, "trailing_percentile": 2.0}


def arm(rate: float | None, cost: float | None, churn: float | None = 10.0) -> dict[str, Any]:
    """A policy as deployed."""
    return {
        "rate": rate,
        "cost_ratio": cost,
        "churn_per_day": churn,
        "true_rate": rate,
        "believed_rate": rate,
        "measured_rate": rate,
        "cost_of_not_knowing": None,
    }


def dataset(
    name: str = "a",
    *,
    matched: Mapping[str, float | None] = MATCHED,
    best: str | None = "trailing_percentile",
    harmony: Mapping[str, Any] | None = None,
    days: float = 30.0,
    replicates: Sequence[float | None] = (),
    keys: Sequence[str] = (KEY,),
) -> dict[str, Any]:
    """A data set, the same at each of its promises."""
    deployed = {"harmony": harmony or arm(0.012, 1.4, 20.0), "hpa": arm(0.02, 2.0, 40.0)}
    return {
        "data": name,
        "matched": dict.fromkeys(keys, matched),
        "deployed": dict.fromkeys(keys, deployed),
        "best_baseline": dict.fromkeys(keys, best),
        "replicates": {key: list(replicates) for key in keys},
        "bootstrap_days": days,
    }


def summed(*datasets: Mapping[str, Any]) -> dict[str, Any]:
    return summarise(datasets)[KEY]


def test_one_data_set_is_compared_at_the_matched_rate_and_as_deployed() -> None:
    found = compare(dataset(), KEY)
    assert found["vs_best_baseline"] == 0.75
    assert found["best_baseline"] == "trailing_percentile"
    assert found["vs_hpa"] == 0.6  # the better HPA counts
    assert found["vs_oracle"] == 1.5
    assert (found["deployed_rate"], found["deployed_vs_oracle"]) == (0.012, 1.4)
    assert found["calibration_gap_pp"] == pytest.approx(0.2)
    assert found["churn_ratio_vs_hpa"] == 0.5
    assert (found["true_rate"], found["cost_of_not_knowing"]) == (0.012, None)


def test_a_rate_below_the_promise_is_off_it_too() -> None:
    assert compare(dataset(harmony=arm(0.004, 1.4)), KEY)["calibration_gap_pp"] == 0.6


def test_what_has_no_other_side_is_null() -> None:
    missed = {**MATCHED, "harmony": None, "hpa": None, "hpa_clipped": None}
    found = compare(dataset(matched=missed, harmony=arm(None, None, None)), KEY)
    for name in ("vs_best_baseline", "vs_hpa", "calibration_gap_pp", "churn_ratio_vs_hpa"):
        assert found[name] is None
    assert compare(dataset(best=None), KEY)["vs_best_baseline"] is None
    assert compare(dataset(matched={"harmony": 1.5}, best=None), KEY)["vs_hpa"] is None


def test_promises_are_in_order_and_only_of_data_sets_that_ran_them() -> None:
    one, other = dataset("a", keys=("0.1", "0.02")), dataset("b", keys=("0.02",))
    found = summarise([one, other])
    assert list(found) == ["0.02", "0.1"]
    assert (found["0.02"]["n_datasets"], found["0.1"]["n_datasets"]) == (2, 1)


def test_ratios_have_geometric_means_and_gaps_arithmetic_ones() -> None:
    dearer = dataset(
        "b", matched={**MATCHED, "harmony": 6.0}, harmony=arm(0.018, 1.4, 320.0), days=30.0
    )
    found = summed(dataset("a"), dearer)
    assert found["vs_best_baseline"] == 1.5  # of 3/4 and 3
    assert found["vs_hpa"] == 1.2  # of 0.6 and 2.4
    assert found["vs_oracle"] == 3.0
    assert found["churn_ratio_vs_hpa"] == 2.0
    assert found["calibration_gap_pp"] == pytest.approx(0.5)
    assert found["largest_calibration_gap_pp"] == pytest.approx(0.8)
    assert (found["worst_dataset"], found["worst_vs_best_baseline"]) == ("b", 3.0)
    assert [found[n] for n in ("n_vs_best_baseline", "n_vs_hpa", "n_churn")] == [2, 2, 2]
    assert list(found["by_dataset"]) == ["a", "b"]
    assert found["arms"]["harmony"]["true_rate"] == pytest.approx(0.015)


def test_a_rate_that_only_a_rival_reaches_leaves_the_worst_without_bound() -> None:
    missed = dataset("b", matched={**MATCHED, "harmony": None})
    found = summed(dataset("a"), missed)
    assert found["harmony_not_reached"] == ["b"]
    assert found["worst_dataset"] is None
    assert found["worst_vs_best_baseline"] is None
    assert found["vs_best_baseline"] == 0.75


def test_a_rate_that_nobody_reaches_says_nothing_of_the_worst() -> None:
    nobody = dataset("b", matched=dict.fromkeys(MATCHED, None), best=None)
    found = summed(dataset("a"), nobody)
    assert found["harmony_not_reached"] == ["b"]
    assert (found["worst_dataset"], found["worst_vs_best_baseline"]) == ("a", 0.75)


def test_nothing_known_is_null_throughout() -> None:
    nobody = dataset(matched=dict.fromkeys(MATCHED, None), best=None, harmony=arm(None, None, None))
    found = summed(nobody)
    for name in (
        *("vs_best_baseline", "vs_hpa", "vs_oracle", "worst_vs_best_baseline"),
        *("calibration_gap_pp", "largest_calibration_gap_pp", "churn_ratio_vs_hpa"),
    ):
        assert found[name] is None
    assert found["ci"] == [None, None]


def test_only_short_data_sets_that_count_are_named_as_such() -> None:
    missed = dict.fromkeys(MATCHED, None)
    found = summed(
        dataset("long", days=float(MIN_DAYS)),
        dataset("short", days=MIN_DAYS - 0.1),
        dataset("unused", days=1.0, matched=missed, best=None),
    )
    assert found["ci_few_days"] == ["short"]


def test_the_interval_is_of_the_data_sets_that_count() -> None:
    logs = [float(v) for v in np.log([0.5, 0.6, 0.7])]
    missed = dataset("b", matched={**MATCHED, "harmony": None}, replicates=[9.0, 9.0, 9.0])
    found = summed(dataset("a", replicates=logs), missed)
    assert found["ci"] == interval_of([logs])[0]
    assert found["ci_replicates_used"] == 3


@given(
    st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=6), min_size=1, max_size=4),
    st.floats(-1, 1),
)
def test_an_interval_lies_within_its_replicates_and_moves_with_them(
    rows: list[list[float]], shift: float
) -> None:
    n = min(map(len, rows))
    means = np.exp(np.mean([row[:n] for row in rows], axis=0))
    (low, high), n_used = interval_of(rows)
    assert n_used == n
    assert low is not None
    assert high is not None
    assert means.min() * (1 - 1e-5) <= low <= high <= means.max() * (1 + 1e-5)
    moved, _ = interval_of([[v + shift for v in row] for row in rows])
    assert moved == pytest.approx([np.exp(shift) * low, np.exp(shift) * high], rel=1e-4)


def test_a_replicate_that_one_data_set_lacks_is_left_out() -> None:
    found, n_used = interval_of([[0.0, None, 0.0], [0.2, 5.0, 0.2]])
    assert n_used == 2
    assert found == pytest.approx([np.exp(0.1)] * 2, rel=1e-5)


@pytest.mark.parametrize("rows", [[], [[]], [[0.1], []], [[None], [0.1]]])
def test_without_whole_replicates_there_is_no_interval(rows: list[list[float | None]]) -> None:
    assert interval_of(rows) == ([None, None], 0)
