"""Native histograms: edges, integers and floats, and bounds of a threshold that is no edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.ingest.remote_write.histogram import BadHistogram, read_histogram
from tests.unit.ingest.remote_requests import STALE, Histogram, block, spans_of, varint

# schema 0: a bucket per power of two; index i is (2^(i-1), 2^i]
FIVE = Histogram(1000, counts=[3, 4, 5], spans=[(-2, 2), (1, 1)], zero=2)


@pytest.mark.parametrize("is_float", [False, True])
def test_counts_at_edges_and_between(is_float: bool) -> None:
    sample = read_histogram(
        Histogram(1000, [3, 4, 5], [(-2, 2), (1, 1)], zero=2, is_float=is_float).encode()
    )
    # (0.125, 0.25]: 3, (0.25, 0.5]: 4, then one bucket is left out, (1, 2]: 5
    assert (sample.at_us, sample.total, sample.is_gauge) == (1_000_000, 14.0, False)
    found = {edge: (sample.good(edge), sample.upto(edge)) for edge in (0.25, 0.3, 0.5, 1, 1.5, 9)}
    assert found == {
        0.25: (5, 5),  # an edge: exact
        0.3: (5, 9),  # between two: bounds, and nothing in between
        0.5: (9, 9),
        1: (9, 9),
        1.5: (9, 14),
        9: (14, 14),
    }


def test_a_finer_schema_and_one_of_given_edges() -> None:
    fine = read_histogram(Histogram(0, [1, 1], [(1, 2)], schema=2).encode())
    assert fine.upper[2:].tolist() == pytest.approx([2**0.25, 2**0.5])
    custom = Histogram(0, [1, 2, 4], [(0, 3)], schema=-53, custom=[0.3, 0.5])
    sample = read_histogram(custom.encode())
    assert [sample.good(edge) for edge in (0.3, 0.5, 9)] == [1, 3, 3]  # beyond the last: unknown
    assert [sample.upto(edge) for edge in (0.3, 0.5, 9)] == [1, 3, 7]


def test_what_is_no_number_is_good_for_nothing_and_what_is_below_zero_always() -> None:
    sample = read_histogram(Histogram(0, [3], [(0, 1)], extra=2).encode())
    assert (sample.total, sample.good(1.0), sample.upto(1.0)) == (5, 3, 3)
    below = read_histogram(Histogram(0, [3], [(0, 1)], negative=4).encode())
    assert (below.good(0.001), below.upto(0.001), below.good(1)) == (4, 4, 7)


def test_the_end_of_a_series_and_a_gauge_are_told() -> None:
    assert read_histogram(Histogram(0, [], [], total_s=STALE).encode()).is_stale_marker
    assert not read_histogram(Histogram(0, [], [], total_s=float("nan")).encode()).is_stale_marker
    assert read_histogram(Histogram(0, [1], [(0, 1)], is_gauge=True).encode()).is_gauge


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xff\xff", "no native histogram"),
        (Histogram(0, [1, 2], [(0, 3)]).encode(), "2 buckets and spans over 3"),
        (Histogram(0, [1], [(0, 1)], schema=9).encode(), "schema=9, which must be -4 to 8"),
        (Histogram(0, [1], [(2, 1)], schema=-53, custom=[0.5]).encode(), "its 1 custom_values"),
        (spans_of(11, [(0, 2**31)]), "0 buckets and spans over 2147483648"),
        (spans_of(8, [(0, 1)]), "0 buckets and spans over 1"),
    ],
)
def test_what_contradicts_itself_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(BadHistogram, match=words):
        read_histogram(raw)


@given(
    counts=st.lists(st.integers(0, 1000), max_size=12),
    offset=st.integers(-2000, 2000),
    schema=st.integers(-4, 8),
    thresholds=st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=2).map(sorted),
)
def test_bounds_hold_and_rise(
    counts: list[int], offset: int, schema: int, thresholds: list[float]
) -> None:
    found = Histogram(0, counts, [(offset, len(counts))], zero=3, schema=schema)
    sample = read_histogram(found.encode())
    low, high = thresholds
    for threshold in thresholds:
        assert 0 <= sample.good(threshold) <= sample.upto(threshold) <= sample.total
    assert sample.good(low) <= sample.good(high)
    assert sample.upto(low) <= sample.upto(high)
    assert np.all(sample.lower <= sample.upper)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for content in (raw, varint(4 << 3) + raw, block(11, raw)):
        try:
            assert len(read_histogram(content).count) >= 2
        except BadHistogram:
            continue
