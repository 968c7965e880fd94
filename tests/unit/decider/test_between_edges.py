"""What met a threshold between two bucket edges: near the truth, never outside of what is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.between_edges import EdgeCounts, EdgeGap, met_between
from decider.errors import InvalidRequest
from decider.types import FloatArray

GAP = EdgeGap(0.025, 0.04, 0.05)
NAN = float("nan")


def counted(steps: list[FloatArray], gap: EdgeGap = GAP) -> EdgeCounts:
    """What a histogram tells of the latencies of some steps."""
    columns = [(x.size, (x <= gap.below_s).sum(), (x <= gap.above_s).sum(), x.sum()) for x in steps]
    return EdgeCounts(*np.array(columns, dtype=float).T)


def latencies(rng: np.random.Generator, load: float, n: int) -> FloatArray:
    """Seconds per token of n requests: alone 21 ms, and waits for others' prompts on top."""
    return 0.021 + 0.008 * load * rng.gamma(2.0, 0.5, n)


def shares_missed(load: float, n: int, n_steps: int = 30) -> tuple[float, float, float]:
    """Share over the threshold: true, estimated, and by the edge below."""
    rng = np.random.default_rng(7)
    steps = [latencies(rng, load, n) for _ in range(n_steps)]
    counts = counted(steps)
    total = counts.total.sum()
    true = sum(int((x > GAP.threshold_s).sum()) for x in steps)
    estimate = total - met_between(GAP, counts).sum()
    return true / total, estimate / total, 1.0 - counts.below.sum() / total


@pytest.mark.parametrize("load", [0.6, 0.8, 1.0, 1.4, 2.0])
def test_the_estimate_is_near_the_truth_where_the_edge_says_nearly_all(load: float) -> None:
    true, estimate, by_edge = shares_missed(load, n=200)
    assert by_edge > 0.45
    assert abs(estimate - true) < 0.02 + 0.4 * true
    assert abs(estimate - true) < 0.1 * (by_edge - true)


def test_a_step_goes_by_its_own_mean() -> None:
    rng = np.random.default_rng(3)
    steps = [latencies(rng, load, 400) for load in np.linspace(0.6, 2.0, 30)]
    missed = 1.0 - met_between(GAP, counted(steps)) / 400.0
    true = np.array([(x > GAP.threshold_s).mean() for x in steps])
    assert np.corrcoef(missed, true)[0, 1] > 0.95


def test_what_is_unknown_stays_unknown() -> None:
    some = counted([latencies(np.random.default_rng(1), 1.0, 100)] * 3)
    for name in ("total", "below", "upto", "sum_s"):
        columns = {n: getattr(some, n).copy() for n in ("total", "below", "upto", "sum_s")}
        columns[name][1] = NAN
        met = met_between(GAP, EdgeCounts(**columns))
        assert np.isfinite(met).tolist() == [True, False, True]
    none = np.zeros(2)
    assert np.isnan(met_between(GAP, EdgeCounts(none, none, none, none))).all()
    assert np.isnan(met_between(GAP, EdgeCounts(none, none, none, none + NAN))).all()


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.integers(0, 500), st.integers(0, 500), st.floats(0, 9e3)),
        min_size=1,
        max_size=5,
    )
)
def test_an_estimate_never_leaves_its_interval(rows: list[tuple[int, int, int, float]]) -> None:
    columns = np.array([(n, *sorted((min(a, n), min(b, n))), s) for n, a, b, s in rows]).T
    counts = EdgeCounts(*columns)
    met = met_between(GAP, counts)
    assert (met >= counts.below).all()
    assert (met <= counts.upto).all()


@pytest.mark.parametrize("edges", [(0.0, 1.0, 2.0), (1.0, 1.0, 2.0), (1.0, 3.0, 2.0)])
def test_a_threshold_lies_between_its_edges(edges: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidRequest, match="must rise"):
        EdgeGap(*edges)
