"""Series of a remote write by their indicators, and which of them may write."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

from services.ingest.remote_write.claims import Mapping
from services.ingest.remote_write.mapped import (
    n_left_out,
    to_counters,
    to_histograms,
    to_parsed,
)
from services.ingest.remote_write.pods import PodCount
from services.ingest.remote_write.protocol import RemoteWrite, Version, decode
from services.ingest.remote_write.wire import RequestLimits
from services.ingest.series.owners import SeriesOwners
from services.ingest.series.rules import DEFAULT_RULES
from services.ingest.series.samples import Rejections
from tests.unit.ingest.remote_requests import (
    STALE,
    Histogram,
    Series,
    body_v1,
    body_v2,
    histograms_v1,
    indicator,
)
from tests.unit.ingest.remote_write.test_pods import workload

NOW = datetime(2026, 1, 5, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
LOST = PodCount(workload(), "sli_lost")


def read(body: bytes) -> RemoteWrite:
    return decode(body, Version.V1, RequestLimits(1_000_000, 1000))


def series(name: str, *values: float, at_ms: int = NOW_MS, **labels: str) -> Series:
    return indicator(name, **labels), [(at_ms + n * 1000, v) for n, v in enumerate(values)]


def mapping(*namespaces: str) -> Mapping:
    return Mapping(DEFAULT_RULES, SeriesOwners(), frozenset(namespaces) if namespaces else None)


def reasons(found: Rejections) -> dict[str, int]:
    return {one.reason: one.count for one in found.as_tuple()}


def test_one_series_is_one_indicator_and_a_second_one_is_a_fault() -> None:
    request = read(body_v1(series("rps", 1.0, 2.0, pod="a"), series("rps", 9.0, pod="b")))
    parsed = to_parsed(request, mapping(), NOW)
    assert [str(name) for name in parsed.names] == ["shop/w0 rps"]
    assert parsed.samples.value.tolist() == [1.0, 2.0]
    assert reasons(parsed.rejections) == {"several_series": 1}


def test_what_is_read_otherwise_is_left_alone() -> None:
    request = read(body_v1(series("rps", 1.0), series("sli_lost", 5.0)))
    parsed = to_parsed(request, mapping(), NOW, {1})
    assert [name.indicator for name in parsed.names] == ["rps"]
    assert reasons(parsed.rejections) == {}


def test_pods_stand_side_by_side_and_markers_are_no_values() -> None:
    sent = [series("sli_lost", 1.0, 3.0, pod="a"), series("sli_lost", 7.0, STALE, pod="b")]
    found, rejections = mapping(), Rejections()
    counters = to_counters(read(body_v1(*sent)), {0: LOST, 1: LOST}, found, rejections, NOW)
    assert [list(one.value) for one in counters] == [[1.0, 3.0], [7.0]]
    assert len({one.pod for one in counters}) == 2
    assert counters[0].at_us == [NOW_MS * 1000, NOW_MS * 1000 + 1_000_000]
    assert reasons(rejections) == {"stale_marker": 1}
    assert n_left_out(rejections.as_tuple()) == 1
    assert to_counters(read(body_v1(*sent)), {}, found, rejections, NOW) == []


def test_the_other_replica_of_a_prometheus_waits_until_the_first_is_silent() -> None:
    found, rejections = mapping(), Rejections()

    def counters(replica: str, after_ms: int) -> int:
        one = series("sli_lost", 1.0, at_ms=NOW_MS + after_ms, prometheus_replica=replica)
        return len(to_counters(read(body_v1(one)), {0: LOST}, found, rejections, NOW))

    assert (counters("x", -120_000), counters("y", -110_000), counters("x", -90_000)) == (1, 0, 1)
    assert reasons(rejections) == {"other_replica": 1}
    assert counters("y", 0) == 1


def test_a_key_of_other_namespaces_writes_neither() -> None:
    request = read(body_v1(series("rps", 1.0), series("sli_lost", 1.0, 2.0)))
    other, rejections = mapping("mine"), Rejections()
    assert to_counters(request, {1: LOST}, other, rejections, NOW) == []
    assert to_parsed(request, other, NOW, {1}).names == ()
    assert reasons(rejections) == {"forbidden_namespace": 2}


def test_cumulative_histograms_are_pods_and_rates_are_not() -> None:
    labels = indicator("sli_ttft", pod="a")
    for is_gauge in (False, True):
        one = Histogram(NOW_MS, [1.5], [(0, 1)], is_float=True, is_gauge=is_gauge)
        (found,) = to_histograms(read(histograms_v1(labels, one)), mapping(), Rejections(), NOW)
        assert (found.pod is None) == is_gauge
        assert found.samples[0].total == 1.5


def test_a_histogram_that_no_rule_matches_or_that_is_none_is_counted() -> None:
    rejections = Rejections()
    stranger = read(histograms_v1({"__name__": "go_gc"}, Histogram(NOW_MS, [1], [(0, 1)])))
    broken = read(histograms_v1(indicator("sli_ttft"), Histogram(NOW_MS, [1], [(0, 2)])))
    for request in (stranger, broken):
        assert to_histograms(request, mapping(), rejections, NOW) == []
    assert reasons(rejections) == {"unmapped": 1, "bad_sample": 1}


def test_what_is_said_of_a_series_is_short_however_long_its_labels_are() -> None:
    """A word of a request that twenty labels share was written out for each series, and all told.

    With an end of a series among them each has its own sentence.
    """
    word = "x" * 900_000
    named = {f"l{n}": word for n in range(4)}
    bad = histograms_v1(indicator("sli_ttft", **named), Histogram(NOW_MS, (1,), ()))
    ends = body_v2(series("rps", STALE), (named, [(NOW_MS, 1.0)]))
    cases = ((ends, Version.V2, "unmapped"), (bad, Version.V1, "bad_sample"))
    for body, version, reason in cases:
        request = decode(body, version, RequestLimits(4_000_000, 1000))
        tracemalloc.start()
        try:
            rejections = to_parsed(request, mapping(), NOW).rejections
            to_histograms(request, mapping(), rejections, NOW)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < len(word)
        assert reason in reasons(rejections)
