"""Scaling, savings and remarks of a month, against figures worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.lab.bench.month.document import to_document
from services.lab.bench.month.source import MonthOptions
from tests.unit.lab.bench.month.sources import FLEET, TRACE, Figures, source

OPTIONS = MonthOptions(days=30, epsilon=0.01)


def with_rates(own: Sequence[float], rival: Sequence[float]) -> dict[str, Figures]:
    """Harmony and HPA at the given rates."""
    return FLEET | {"harmony": (1000.0, 2000.0, own), "hpa": (1200.0, 2500.0, rival)}


def test_a_month_that_was_measured_is_not_scaled() -> None:
    (one,) = to_document([source()], OPTIONS)["sources"]
    assert (one["days_measured"], one["scale"], one["workloads"]) == (30.0, 1.0, 2)
    own = one["policies"]["harmony"]
    assert (own["gpu_hours"], own["cost_usd"]) == (1000.0, 2000.0)
    assert own["violation_rate"] == 0.008
    assert own["is_promise_kept"] is True
    assert (own["worst_workload_rate"], own["workloads_over_promise"]) == (0.012, 1)
    assert one["policies"]["trailing_percentile"]["is_promise_kept"] is False
    assert own["workload_violation_rate"] == [0.004, 0.012]


def test_savings_by_hand() -> None:
    (one,) = to_document([source()], OPTIONS)["sources"]
    saved = one["savings"]["static_peak"]
    assert (saved["gpu_hours"], saved["cost_usd"]) == (600.0, 1000.0)
    assert saved["cost_ratio"] == pytest.approx(1 / 3, abs=1e-6)
    # 600 GPU-hours at 2 GPUs of mean demand: 300 per GPU
    assert saved["gpu_hours_per_1000_gpus"] == 300_000.0
    assert saved["cost_usd_per_1000_gpus"] == 500_000.0
    lost = one["savings"]["trailing_percentile"]
    assert (lost["gpu_hours"], lost["cost_usd"]) == (-100.0, -100.0)


@pytest.mark.parametrize(("days", "scale"), [(10.0, 3.0), (60.0, 0.5)])
def test_shorter_and_longer_parts_are_scaled_to_the_month(days: float, scale: float) -> None:
    (one,) = to_document([source(days=days)], OPTIONS)["sources"]
    assert one["scale"] == scale
    assert one["policies"]["harmony"]["gpu_hours"] == scale * 1000.0
    assert one["savings"]["hpa"]["cost_usd"] == scale * 500.0
    # a rate is a share of time: more days do not change it
    assert one["policies"]["harmony"]["violation_rate"] == 0.008


@given(st.floats(0.25, 400.0), st.integers(1, 90))
def test_scaling_keeps_every_ratio(days: float, wanted: int) -> None:
    options = MonthOptions(days=wanted)
    (one,) = to_document([source(days=days)], options)["sources"]
    (plain,) = to_document([source()], OPTIONS)["sources"]
    for name, saved in one["savings"].items():
        assert saved["cost_ratio"] == plain["savings"][name]["cost_ratio"]
        assert saved["gpu_hours"] == pytest.approx(
            plain["savings"][name]["gpu_hours"] * wanted / days, rel=1e-5
        )


@pytest.mark.parametrize(
    ("own", "rival", "remarks"),
    [
        ((0.005, 0.005), (0.006, 0.006), []),
        ((0.01, 0.01), (0.01, 0.01), []),
        ((0.005, 0.005), (0.001, 0.001), ["harmony_out_of_sla_more"]),
        ((0.005, 0.005), (0.02, 0.02), ["rival_broke_promise"]),
        ((0.02, 0.02), (0.03, 0.03), ["harmony_broke_promise", "rival_broke_promise"]),
        ((0.02, 0.02), (0.005, 0.005), ["harmony_broke_promise", "harmony_out_of_sla_more"]),
        ((np.nan, np.nan), (0.0, 0.0), ["rate_unknown"]),
    ],
)
def test_what_a_saving_rests_on_is_marked(
    own: Sequence[float], rival: Sequence[float], remarks: list[str]
) -> None:
    document = to_document([source(with_rates(own, rival))], OPTIONS)
    assert document["sources"][0]["savings"]["hpa"]["remarks"] == remarks
    is_broken = "harmony_broke_promise" in remarks
    assert document["total"]["broken_on"] == (["fleet"] if is_broken else [])


def test_a_promise_missed_by_less_than_the_written_digits_is_broken() -> None:
    rate = 0.01 * (1 + 1e-9)
    (one,) = to_document([source(with_rates((rate, rate), (0.0, 0.0)))], OPTIONS)["sources"]
    assert one["policies"]["harmony"]["violation_rate"] == 0.01
    assert one["policies"]["harmony"]["is_promise_kept"] is False
    assert "harmony_broke_promise" in one["savings"]["hpa"]["remarks"]


def test_the_total_adds_months_and_averages_workloads() -> None:
    fleet, trace = source(), source(TRACE, data="trace", days=3.0, mean_gpus=6.0)
    document = to_document([fleet, trace], OPTIONS)
    total = document["total"]
    assert (total["workloads"], total["mean_demand_gpus"], total["days_measured"]) == (3, 8.0, 3.0)
    own = total["policies"]["harmony"]
    assert own["gpu_hours"] == 1000.0 + 10 * 100.0
    assert own["cost_usd"] == 2000.0 + 10 * 250.0
    assert own["violation_rate"] == pytest.approx((0.004 + 0.012 + 0.02) / 3)
    saved = total["savings"]["hpa"]
    assert saved["gpu_hours"] == 200.0 + 500.0
    assert saved["gpu_hours_per_1000_gpus"] == 700.0 / 8.0 * 1000.0
    assert total["broken_on"] == ["trace"]
    assert [one["data"] for one in document["sources"]] == ["fleet", "trace"]


def test_unknown_rates_are_null_and_left_out_of_means() -> None:
    figures = with_rates((np.nan, 0.006), (np.nan, np.nan))
    document = to_document([source(figures, mean_gpus=0.0)], OPTIONS)
    json.dumps(document, allow_nan=False)
    (one,) = document["sources"]
    own, hpa = one["policies"]["harmony"], one["policies"]["hpa"]
    assert own["violation_rate"] == 0.006
    assert own["workload_violation_rate"] == [None, 0.006]
    assert own["workloads_rated"] == 1
    assert (hpa["violation_rate"], hpa["is_promise_kept"]) == (None, None)
    assert hpa["worst_workload_rate"] is None
    assert one["savings"]["hpa"]["gpu_hours_per_1000_gpus"] is None
