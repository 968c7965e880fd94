"""Remote write on the wire: headers, Snappy, both messages, limits."""

from __future__ import annotations

import importlib.util
import math
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.ingest.proto.generate import FOLDER, STUBS, generate
from services.ingest.remote_write.protocol import Version, decode, to_version
from services.ingest.remote_write.wire import RequestLimits
from services.kernel.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from tests.unit.ingest.remote_requests import (
    STALE,
    block,
    body_v1,
    body_v2,
    message_v1,
    packed,
    varint,
)

LIMITS = RequestLimits(max_bytes=100_000, max_samples=1000)
BOTH = [(Version.V1, body_v1), (Version.V2, body_v2)]
UP = {"__name__": "up", "job": "llama"}
_VERSION = re.compile(r"\d+\.\d+\.\d+|^ {4}\d+,$", re.M)


@pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None, reason="grpcio-tools is not installed"
)
def test_the_stubs_are_generated_from_the_protos() -> None:
    written = generate()
    assert set(written) == set(STUBS)
    for name, text in written.items():
        stored = (FOLDER / name).read_text()
        message = f"{name}: run `python -m services.ingest.proto.generate`"
        assert _VERSION.sub("", stored) == _VERSION.sub("", text), message


@pytest.mark.parametrize(
    ("content_type", "version"),
    [
        ("application/x-protobuf", Version.V1),
        ("application/x-protobuf;proto=prometheus.WriteRequest", Version.V1),
        ("application/x-protobuf; charset=utf-8", Version.V1),
        ("Application/X-Protobuf; proto=io.prometheus.write.v2.Request", Version.V2),
        ('application/x-protobuf;proto="io.prometheus.write.v2.Request"', Version.V2),
    ],
)
def test_the_content_type_names_the_version(content_type: str, version: Version) -> None:
    assert to_version(content_type, "snappy") is version


@pytest.mark.parametrize(
    ("content_type", "encoding", "words"),
    [
        ("application/json", "snappy", "must be 'application/x-protobuf'"),
        ("", "snappy", "must be 'application/x-protobuf'"),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy", "proto="),
        ("application/x-protobuf", "gzip", "must be 'snappy'"),
        ("application/x-protobuf", "", "must be 'snappy'"),
    ],
)
def test_another_type_or_encoding_is_named(content_type: str, encoding: str, words: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=words):
        to_version(content_type, encoding)


@pytest.mark.parametrize(("version", "make"), BOTH)
def test_series_and_samples(version: Version, make: object) -> None:
    body = make(  # type: ignore[operator]
        (UP, [(1767571200123, 1.5), (1767571215123, -2.0)]),
        ({"__name__": "down"}, []),
        ({"job": "b", "__name__": "up"}, [(-5, 3.0)]),
    )
    found = decode(body, version, LIMITS)
    assert found.labels == (
        (("__name__", "up"), ("job", "llama")),
        (("__name__", "down"),),
        (("__name__", "up"), ("job", "b")),
    )
    assert found.series.tolist() == [0, 0, 2]
    assert found.at_us.tolist() == [1767571200123000, 1767571215123000, -5000]
    assert found.value.tolist() == [1.5, -2.0, 3.0]
    assert (len(found.histograms), found.n_exemplars) == (0, 0)


@pytest.mark.parametrize(("version", "make"), BOTH)
def test_the_end_of_a_series_is_told_from_other_nans(version: Version, make: object) -> None:
    body = make((UP, [(1, STALE), (2, math.nan), (3, math.inf), (4, 0.0)]))  # type: ignore[operator]
    found = decode(body, version, LIMITS)
    assert found.is_stale_marker.tolist() == [True, False, False, False]
    assert np.isnan(found.value).tolist() == [True, True, False, False]


def test_a_request_without_series_is_empty() -> None:
    """Version 1 sends metadata of metrics by itself, in a field that is not read."""
    for version in Version:
        found = decode(packed(block(3, b"\x12\x02up")), version, LIMITS)
        assert (found.labels, len(found.value)) == ((), 0)


def test_histograms_and_exemplars_are_counted() -> None:
    labels = block(1, block(1, b"__name__") + block(2, b"latency"))
    found = decode(
        packed(block(1, labels + block(3, b"") + block(4, b"x") + block(4, b""))),
        Version.V1,
        LIMITS,
    )
    assert (len(found.histograms), found.n_exemplars) == (2, 1)
    symbols = b"".join(block(4, word) for word in (b"", b"__name__", b"latency"))
    series = block(5, block(1, b"\x01\x02") + block(3, b"") + block(4, b""))
    found = decode(packed(symbols + series), Version.V2, LIMITS)
    assert (len(found.histograms), found.n_exemplars) == (1, 1)


@pytest.mark.parametrize("at_ms", [2**63 - 1, -(2**63)])
def test_a_time_beyond_all_bounds_is_cut_not_wrapped(at_ms: int) -> None:
    found = decode(body_v1((UP, [(at_ms, 1.0)])), Version.V1, LIMITS)
    assert abs(int(found.at_us[0])) == 9 * 10**18
    assert (int(found.at_us[0]) > 0) == (at_ms > 0)


def test_what_is_unpacked_is_bounded_before_it_is() -> None:
    with pytest.raises(PayloadTooLarge, match="1073741824 bytes once decompressed"):
        decode(varint(2**30) + b"\x00", Version.V1, LIMITS)
    bomb = packed(b"\0" * 100_001)
    assert len(bomb) < 10_000
    with pytest.raises(PayloadTooLarge, match="100001 bytes once decompressed"):
        decode(bomb, Version.V1, LIMITS)


def test_samples_are_bounded() -> None:
    body = body_v1(*((UP, [(n, 1.0)]) for n in range(1001)))
    with pytest.raises(PayloadTooLarge, match="more than 1000 samples"):
        decode(body, Version.V1, LIMITS)


GOOD = body_v1((UP, [(1, 1.0)]))


@pytest.mark.parametrize(
    ("body", "version", "words"),
    [
        (b"", Version.V1, "no Snappy block"),
        (b"\xff" * 8, Version.V1, "no Snappy block"),
        (GOOD[:-2], Version.V1, "no Snappy block"),
        (message_v1((UP, [(1, 1.0)])), Version.V1, "no Snappy block"),
        (packed(b"\xff\xff"), Version.V1, "not a prometheus.WriteRequest"),
        (packed(block(4, b"\xff\xfe")), Version.V2, "not a io.prometheus.write.v2.Request"),
        (body_v1(({}, [(1, 1.0)])), Version.V1, r"timeseries\[0\].labels"),
        (body_v1(({"": "x"}, [(1, 1.0)])), Version.V1, r"timeseries\[0\].labels"),
        (packed(block(1, 2 * block(1, block(1, b"a")))), Version.V1, r"\.labels: names must"),
        (packed(block(4, b"") + block(5, block(1, b"\x00"))), Version.V2, "labels_refs"),
        (packed(block(4, b"") + block(5, block(1, b"\x00\x01"))), Version.V2, "labels_refs"),
    ],
)
def test_what_cannot_be_read_is_a_bad_request(body: bytes, version: Version, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        decode(body, version, LIMITS)


@given(st.binary(max_size=300), st.sampled_from(list(Version)), st.booleans())
def test_any_bytes_are_read_or_refused(content: bytes, version: Version, is_packed: bool) -> None:
    try:
        found = decode(packed(content) if is_packed else content, version, LIMITS)
    except (BadRequest, PayloadTooLarge):
        return
    assert len(found.series) == len(found.at_us) == len(found.value)
    assert all(0 <= number < len(found.labels) for number in found.series.tolist())
