"""Counts on the wire: what is refused, that it costs little, and that nothing usual is."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, strategies as st

from services.ingest.remote_write.protocol import Version, decode
from services.ingest.remote_write.wire import Layout, RequestLimits, check_counts
from services.kernel.errors import BadRequest, PayloadTooLarge
from tests.unit.ingest.remote_requests import (
    block,
    body_v1,
    body_v2,
    message_v1,
    message_v2,
    packed,
    varint,
)

DEFAULT = RequestLimits(max_bytes=8_000_000, max_samples=200_000)
SMALL = RequestLimits(max_bytes=2400, max_samples=20)
V1 = Layout(series=1, values=frozenset({2, 4}))
V2 = Layout(series=5, values=frozenset({2, 3}), packed=1)
LABELS = block(1, block(1, b"__name__") + block(2, b"up"))
SYMBOLS = b"".join(block(4, b"%d" % number) for number in range(127))

HOSTILE = {
    "series": (Version.V1, b"\x0a\x00" * 3_900_000),
    "series of version 2": (Version.V2, b"\x2a\x00" * 3_900_000),
    "samples": (Version.V1, block(1, LABELS + b"\x12\x00" * 3_900_000)),
    "histograms": (Version.V1, block(1, LABELS + b"\x22\x00" * 3_900_000)),
    "exemplars": (Version.V1, block(1, LABELS + b"\x1a\x00" * 3_900_000)),
    "labels": (Version.V1, block(1, b"\x0a\x00" * 3_900_000)),
    "symbols": (Version.V2, b"\x22\x00" * 3_900_000),
    "positions": (Version.V2, SYMBOLS + block(5, block(1, bytes(range(1, 127)))) * 59_000),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_holds_too_much_is_refused_before_anything_is_made_of_it(kind: str) -> None:
    """The message itself is 8 MB; decoded, its parts took hundreds."""
    version, message = HOSTILE[kind]
    body = packed(message)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match="more than 200000 samples"):
            decode(body, version, DEFAULT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(message)


def test_a_series_counts_as_its_samples_and_without_any_as_one() -> None:
    whole = [({"a": "b"}, [(n, 1.0) for n in range(18)]), ({"a": "c"}, []), ({"a": "d"}, [])]
    check_counts(message_v1(*whole), V1, SMALL)
    check_counts(message_v2(*whole), V2, SMALL)
    for message, layout in ((message_v1, V1), (message_v2, V2)):
        with pytest.raises(PayloadTooLarge, match="more than 20 samples"):
            check_counts(message(*whole, ({"a": "e"}, [])), layout, SMALL)


def test_fields_are_bounded_whatever_they_are() -> None:
    for layout, message in (
        (V1, block(1, b"\x0a\x00" * 100)),
        (V1, block(9, b"") * 101),
        (V1, (varint(7 << 3) + b"\x00") * 101),
        (V1, (varint(7 << 3 | 5) + b"\x00" * 4) * 101),
        (V2, block(5, block(1, b"\x01" * 200))),
        (V2, block(5, block(1, b"\xff\x01" * 200))),
    ):
        with pytest.raises(PayloadTooLarge, match="100 labels and other fields"):
            check_counts(message, layout, SMALL)
    check_counts(block(1, b"\x0a\x00" * 99), V1, SMALL)
    check_counts(block(5, block(1, b"\xff\x01" * 196)), V2, SMALL)


def test_a_number_without_an_end_ends_the_count() -> None:
    for content in (b"\xff" * 1_000_000, b"\x0a" + b"\xff" * 1_000_000, b"\x08" + b"\x80" * 99):
        check_counts(content, V1, SMALL)
        with pytest.raises(BadRequest, match=r"not a prometheus\.WriteRequest"):
            decode(packed(content), Version.V1, DEFAULT)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=12),
    st.integers(1, 40),
    st.sampled_from([(body_v1, Version.V1), (body_v2, Version.V2)]),
)
def test_what_is_read_is_within_the_limit_and_what_is_within_is_read(
    sizes: list[tuple[int, int]], most: int, form: tuple[object, Version]
) -> None:
    make, version = form
    series = [
        ({f"l{n}": "x" for n in range(1 + n_labels)}, [(n, 1.0) for n in range(n_samples)])
        for n_labels, n_samples in sizes
    ]
    n_counted = sum(max(1, n_samples) for _, n_samples in sizes)
    limits = RequestLimits(max_bytes=1_000_000, max_samples=most)
    body = make(*series)  # type: ignore[operator]
    if n_counted > most:
        with pytest.raises(PayloadTooLarge):
            decode(body, version, limits)
    else:
        assert len(decode(body, version, limits).labels) == len(sizes)


def test_series_are_bounded_by_themselves() -> None:
    one = block(1, LABELS)
    check_counts(one * 50_000, V1, DEFAULT)
    with pytest.raises(PayloadTooLarge, match="50000 series"):
        check_counts(one * 50_001, V1, DEFAULT)


def test_labels_that_share_their_words_are_bounded_as_if_they_did_not() -> None:
    """Each series is told by all of its labels: one word in many of them costs as many."""
    named = {f"l{n}": "x" * 1000 for n in range(9)}
    limits = RequestLimits(max_bytes=10_000, max_samples=20)
    few = [(named, [(1, 1.0)])] * 4
    assert len(decode(body_v2(*few), Version.V2, limits).labels) == 4
    with pytest.raises(PayloadTooLarge, match=r"timeseries\[4\].*40000 characters written out"):
        decode(body_v2(*few, few[0]), Version.V2, limits)
