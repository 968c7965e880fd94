"""Native histograms by remote write, both versions: counts at the thresholds of the workload."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.ingest.deps import IngestDeps
from services.ingest.remote_write.protocol import Version
from services.ingest.remote_write.service import remote_write
from services.kernel.clock import FixedClock
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.objective_counts import GOOD, PUSHED, TOTAL, UPTO, pulled
from tests.integration.ingest.pushes import RATE, T0, at_s
from tests.unit.ingest.remote_requests import (
    STALE,
    Histogram,
    histograms_v1,
    histograms_v2,
    indicator,
)

pytestmark = pytest.mark.integration
Make = Callable[..., bytes]
BOTH = pytest.mark.parametrize(
    ("version", "make"), [(Version.V1, histograms_v1), (Version.V2, histograms_v2)]
)
TTFT = indicator("sli_ttft")
SPANS = [(-1, 2), (1, 1)]  # (0.25, 0.5], (0.5, 1], (2, 4]


def at(offset_s: float) -> int:
    return round(at_s(offset_s) * 1000)


@BOTH
def test_a_cumulative_histogram_becomes_rates_of_counts(
    deps: IngestDeps, clock: FixedClock, register: Register, version: Version, make: Make
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    first = Histogram(at(0), [100, 50, 10], SPANS, zero=5)
    last = Histogram(at(60), [190, 70, 20], SPANS, zero=5)
    done = remote_write(deps, make(TTFT, first, last), version)
    assert (done.n_written, done.faults, done.n_histograms_done, done.n_done) == (4, (), 2, 0)
    for name, count in ((TOTAL, 120), (GOOD, 90), (UPTO, 90)):
        assert stored_steps(deps.engine, 1, name) == [(T0, pytest.approx(count / 60))], name


@BOTH
def test_a_recorded_rate_is_a_gauge_of_floats(
    deps: IngestDeps, clock: FixedClock, register: Register, version: Version, make: Make
) -> None:
    register(objective=pulled(sli_ttft_total="x", sli_ttft_good="x", sli_ttft_upto="x"))
    clock.advance(60)
    rates = [
        Histogram(at(15 * n), [1.5, 0.5, 0.25], SPANS, is_float=True, is_gauge=True)
        for n in range(4)
    ]
    assert remote_write(deps, make(TTFT, *rates), version).faults == ()
    assert stored_steps(deps.engine, 1, TOTAL) == [(T0, 2.25)]
    assert stored_steps(deps.engine, 1, GOOD) == [(T0, 1.5)]


def test_a_rate_is_never_read_as_a_counter_nor_the_other_way_round(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    register(prefix="rate", objective=pulled(sli_ttft_total="x"))
    clock.advance(60)
    gauge = Histogram(at(10), [1.5], [(0, 1)], is_float=True, is_gauge=True)
    (fault,) = remote_write(deps, histograms_v1(TTFT, gauge), Version.V1).faults
    assert (fault.reason, fault.count) == ("bad_sample", 1)
    assert "must be cumulative" in fault.example
    counter, labels = Histogram(at(10), [1], [(0, 1)]), indicator("sli_ttft", workload="rate0")
    (fault,) = remote_write(deps, histograms_v1(labels, counter), Version.V1).faults
    assert "must be a rate" in fault.example


def test_faults_are_told_and_what_is_no_concern_of_ours_is_done_with(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    good = Histogram(at(10), [1], [(0, 1)])
    for labels, reason, words in (
        (indicator("sli_e2e"), "unknown_indicator", "must be one of sli_ttft"),
        (indicator(RATE), "unknown_indicator", "must be one of sli_ttft"),
        (indicator("sli_ttft", workload="nobody"), "unknown_workload", "no active workload"),
    ):
        (fault,) = remote_write(deps, histograms_v1(labels, good), Version.V1).faults
        assert fault.reason == reason
        assert words in fault.example
    (fault,) = remote_write(
        deps, histograms_v1(TTFT, good, Histogram(at(20), [1], [(0, 2)])), Version.V1
    ).faults
    assert (fault.reason, fault.count) == ("bad_sample", 1)
    other = remote_write(deps, histograms_v1({"__name__": "go_gc"}, good), Version.V1)
    assert (other.faults, other.n_histograms_done, other.n_written) == ((), 1, 0)


def test_histograms_of_several_pods_are_added_up(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    for pod, began in (("a", 1000), ("b", 0)):
        ends = [Histogram(at(60 * n), [began + 30 * n, 6 * n], [(-1, 2)]) for n in range(2)]
        done = remote_write(deps, histograms_v1(TTFT | {"pod": pod}, *ends), Version.V1)
        assert (done.faults, done.n_histograms_done) == ((), 2)
    for name, count in ((TOTAL, 72), (GOOD, 60), (UPTO, 60)):
        assert stored_steps(deps.engine, 1, name) == [(T0, pytest.approx(count / 60))], name


def test_a_second_recorded_rate_waits_until_the_first_has_ended(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=pulled(sli_ttft_total="x", sli_ttft_good="x"))
    clock.advance(60)
    one, other = TTFT | {"rule": "a"}, TTFT | {"rule": "b"}

    def rate(offset_s: float) -> Histogram:
        return Histogram(at(offset_s), [1.5], [(0, 1)], is_float=True, is_gauge=True)

    remote_write(deps, histograms_v1(one, rate(10)), Version.V1)
    second = histograms_v1(other, rate(40))
    (fault,) = remote_write(deps, second, Version.V1).faults
    assert fault.reason == "several_series"
    ended = Histogram(at(30), [], [], total_s=STALE)
    assert remote_write(deps, histograms_v1(one, ended), Version.V1).n_histograms_done == 1
    assert UPTO not in remote_write(deps, second, Version.V1).faults
