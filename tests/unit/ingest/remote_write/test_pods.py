"""Which series of a remote write are counters of single pods, and of what."""

from __future__ import annotations

import math
from typing import Any

import pytest

from services.ingest.remote_write.histogram import HistogramSample, read_histogram
from services.ingest.remote_write.pods import PodCount, histogram_counters, pod_counts
from services.ingest.series.catalog import (
    WorkloadColumns,
    WorkloadName,
    WorkloadRef,
    to_workload_ref,
)
from services.ingest.series.rules import DEFAULT_RULES, Labels
from tests.unit.ingest.remote_requests import Histogram, indicator


def workload(**queries: str) -> WorkloadRef:
    series = [{"name": name, "query": query} for name, query in queries.items()]
    spec: dict[str, Any] = {
        "target": "Deployment/w0",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
        "sla": {"objective": {"goals": [{"metric": "ttft", "threshold_s": 0.6}], "series": series}},
    }
    return to_workload_ref(WorkloadColumns(1, "shop", "w0", 0, 60, 1), spec)


def found(one: WorkloadRef, name: str, **labels: str) -> PodCount | None:
    series: Labels = tuple(sorted(indicator(name, **labels).items()))
    origins = [DEFAULT_RULES.series_of(series)]
    return pod_counts([series], origins, {WorkloadName("shop", "w0"): one}).get(0)


def test_pushed_counts_and_buckets_of_a_goal_are_counters_of_pods() -> None:
    one = workload()
    assert found(one, "sli_lost", pod="a") == PodCount(one, "sli_lost")
    assert found(one, "sli_ttft_total") == PodCount(one, "sli_ttft_total")
    bucket = found(one, "sli_ttft", le="0.5", pod="a")
    assert bucket == PodCount(one, "sli_ttft", 0.5)
    assert bucket is not None
    assert bucket.threshold_s == 0.6
    everything = found(one, "sli_ttft", le="+Inf")
    assert everything is not None
    assert math.isinf(everything.edge_s)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("request_rate_rps", {}),
        ("sli_waiting", {}),
        ("sli_ttft", {}),
        ("sli_ttft", {"le": "wide"}),
        ("sli_ttft", {"le": "0"}),
        ("sli_ttft", {"le": "NaN"}),
        ("sli_e2e", {"le": "0.5"}),
        ("sli_lost", {"workload": "nobody"}),
    ],
)
def test_what_is_none_is_read_as_before(name: str, labels: dict[str, str]) -> None:
    assert found(workload(), name, **labels) is None


def test_a_count_that_has_a_query_comes_as_a_rate() -> None:
    one = workload(sli_ttft_total="x", sli_lost="x")
    assert found(one, "sli_ttft_total") is None
    assert found(one, "sli_lost") is None
    assert found(one, "sli_ttft", le="0.5") is None


def test_pods_are_told_apart_by_their_labels_but_not_by_edge_or_replica() -> None:
    def pod(**labels: str) -> int:
        series = tuple(sorted(indicator("sli_ttft", **labels).items()))
        return DEFAULT_RULES.pod_of(series).series

    assert pod(pod="a", le="1") == pod(pod="a", le="2", prometheus_replica="b")
    assert pod(pod="a") != pod(pod="b") != pod(pod="b", engine="1")
    assert pod(pod="a") == 20147813201012741, "the same in every process, and after an upgrade"


def sample(one: Histogram) -> HistogramSample:
    return read_histogram(one.encode())


def test_a_native_histogram_becomes_buckets_next_to_the_threshold() -> None:
    spans = [(-1, 2), (1, 1)]  # (0.25, 0.5], (0.5, 1], (2, 4]
    one = sample(Histogram(1000, [100, 50, 10], spans, zero=5))
    counters = histogram_counters(workload(), "sli_ttft", 7, [one])
    assert {(c.count.edge_s, *c.value) for c in counters} == {
        (math.inf, 165.0),
        (0.5, 105.0),
        (1.0, 155.0),
    }
    assert all((c.pod, c.at_us, c.is_native) == (7, [1_000_000], True) for c in counters)


def test_another_resolution_is_other_counters_and_no_fall() -> None:
    fine = sample(Histogram(1000, [4, 6], [(-1, 2)], schema=1))
    coarse = sample(Histogram(2000, [10], [(0, 1)], schema=0))
    counters = histogram_counters(workload(), "sli_ttft", 7, [fine, coarse])
    edges = sorted((c.count.edge_s, len(c.value)) for c in counters)
    assert [n for _, n in edges] == [2, 1, 1, 2]
    assert [edge for edge, _ in edges] == pytest.approx([0.5, 2**-0.5, 1.0, math.inf])


@pytest.mark.parametrize(
    ("schema", "custom", "threshold_s", "beside"),
    [
        (0, (), 0.6, (0.5, 1.0)),
        (0, (), 0.5, (0.5, 0.5)),
        (3, (), 1.0, (1.0, 1.0)),
        (-1, (), 3.0, (1.0, 4.0)),
        (-53, (0.1, 0.6, 2.0), 0.6, (0.6, 0.6)),
        (-53, (0.1, 2.0), 0.6, (0.1, 2.0)),
        (-53, (1.0, 2.0), 0.6, (-math.inf, 1.0)),
        (-53, (0.1, 0.2), 0.6, (0.2, math.inf)),
    ],
)
def test_edges_next_to_a_threshold_follow_from_the_resolution(
    schema: int, custom: tuple[float, ...], threshold_s: float, beside: tuple[float, float]
) -> None:
    one = sample(Histogram(0, [], [], schema=schema, custom=custom))
    assert one.edges_beside(threshold_s) == pytest.approx(beside)
