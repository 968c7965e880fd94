"""Counters and histograms of the service, as vLLM and a gateway have them."""

from __future__ import annotations

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.loop import FinishedRequests, LoopTick, PoolCounts
from services.lab.bench.llm_product.meters import GOAL_EDGES_S, Histogram, ServiceMeter, edges_of

NAN = float("nan")


def tick(at_s: float, arrived: int, ttft_ms: list[float], tpot_ms: list[float]) -> LoopTick:
    n = len(ttft_ms)
    done = FinishedRequests(
        np.array(ttft_ms), np.array(tpot_ms), np.full(n, 1000.0), np.full(n, 200.0)
    )
    return LoopTick(at_s, {"serve": PoolCounts(2)}, arrived, done, 3, 1, 0.2)


def test_a_histogram_counts_up_to_each_edge() -> None:
    histogram = Histogram((0.1, 0.5, 1.0))
    histogram.observe(np.array([0.05, 0.1, 0.3]))
    histogram.observe(np.array([2.0]))
    assert histogram.at_or_below.tolist() == [2, 3, 3]
    assert (histogram.count, histogram.upto(0.5), histogram.upto(None)) == (4, 3, 4)
    assert histogram.sum_s == pytest.approx(2.45)


def test_counts_are_cumulative_and_read_at_the_edges_alone() -> None:
    meter = ServiceMeter({"ttft": 1.0, "tpot": 0.04})
    assert set(meter.counters().values()) == {0.0}
    meter.observe(tick(15.0, 5, [100.0, 999.0, 1001.0], [24.0, 39.0, 60.0]))
    meter.observe(tick(30.0, 4, [50.0], [NAN]))
    found = meter.counters()
    assert (found["sli_ttft_total"], found["sli_ttft_good"]) == (4, 3)
    assert "sli_ttft_upto" not in found  # a second is an edge
    assert (found["sli_tpot_good"], found["sli_tpot_upto"]) == (2, 3)  # 25 and 50 ms; one is 0
    assert found["sli_tpot_sum"] == pytest.approx(0.123)
    assert (meter.arrived, found["sli_lost"]) == (9, 0.0)


def test_offered_tokens_are_arrivals_by_the_mean_corrected_by_what_finished() -> None:
    meter = ServiceMeter({"ttft": 1.0, "tpot": 0.04})
    meter.observe(tick(15.0, 5, [], []))
    assert meter.offered(5) is None
    meter.observe(tick(30.0, 5, [10.0] * 4, [20.0] * 4))
    assert meter.offered(10) == pytest.approx((10_000.0, 2_000.0))


def test_a_threshold_below_every_bucket_is_refused() -> None:
    with pytest.raises(InvalidInput, match="first bucket edge"):
        edges_of(GOAL_EDGES_S["tpot"], 0.001)
