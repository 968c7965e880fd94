"""Remote writes read a column at a time are what the general way makes of them."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.ingest.remote_write.columns import read_columns
from services.ingest.remote_write.protocol import RemoteWrite, Version, decode
from services.ingest.remote_write.wire import RequestLimits
from services.ingest.series.rules import RemoteRules
from services.kernel.errors import HarmonyError
from tests.unit.ingest.remote_requests import STALE, block, indicator, packed, sample, varint

LIMITS = RequestLimits(max_bytes=100_000, max_samples=200)
NOW_MS = 1_767_571_200_000
RULES: dict[str, Any] = {"rules": [{"match": "harmony:indicator"}]}

words = st.sampled_from(["a", "shop", "llama-70b", "x" * 130, "ü", "replica", ""])
labels = st.one_of(
    st.sampled_from(["rps", "queue", "sli_ttft_total"]).map(indicator),
    st.dictionaries(words, words, max_size=3),
)
times = st.one_of(
    st.integers(NOW_MS, NOW_MS + 10_000),
    st.sampled_from([0, 1, 2**35 - 1, 2**35, 2**42 - 1, 2**42, 2**63 - 1, -1]),
)
values = st.sampled_from([0.0, -0.0, 1.5, -2.0, math.inf, math.nan, STALE, 1e300])


def as_written(at_ms: int, value: float) -> bytes:
    """A sample as Go writes it: what is zero is left out."""
    found = b"" if struct.pack("<d", value) == bytes(8) else sample(at_ms, value)[:9]
    return found + (varint(2 << 3) + varint(at_ms) if at_ms else b"")


def series(of: dict[str, str], samples: list[bytes], rest: bytes = b"") -> bytes:
    named = [block(1, name.encode()) + block(2, value.encode()) for name, value in of.items()]
    parts = [block(1, one) for one in named] + [block(2, one) for one in samples]
    return block(1, b"".join(parts) + rest)


samples = st.lists(
    st.one_of(
        st.builds(as_written, st.integers(NOW_MS, NOW_MS + 9), values),
        st.builds(as_written, times, values),
        st.builds(sample, times, values),
    ),
    max_size=5,
)
usual = st.lists(st.builds(series, labels, samples), max_size=8).map(b"".join)
odd = st.sampled_from([b"", block(3, b"\x12\x02up"), block(4, b"h"), b"\x08\x01", b"\x0a", b"\xff"])


def outcome(content: bytes, rules: RemoteRules | None) -> RemoteWrite | str:
    try:
        return decode(packed(content), Version.V1, LIMITS, rules)
    except HarmonyError as error:
        return f"{type(error).__name__}: {error}"


def same(content: bytes, rules: RemoteRules) -> None:
    general, found = outcome(content, None), outcome(content, rules)
    if isinstance(general, str) or isinstance(found, str):
        # of several faults each way may come upon another one first
        kinds = [str(one).partition(":")[0] for one in (found, general)]
        assert kinds[0] == kinds[1]
        return
    assert tuple(found.labels) == general.labels
    assert found.series.tolist() == general.series.tolist()
    assert found.at_us.tolist() == general.at_us.tolist()
    bits = [one.value.view(np.uint64).tolist() for one in (found, general)]
    assert bits[0] == bits[1]
    assert (found.histograms, found.n_exemplars) == (general.histograms, general.n_exemplars)
    expected = [rules.series_of(one) for one in general.labels]
    assert list(found.origins) in ([], expected)


@settings(max_examples=150)
@given(usual, odd, odd)
def test_every_message_is_read_as_the_general_way_reads_it(
    content: bytes, first: bytes, last: bytes
) -> None:
    rules = RemoteRules.model_validate(RULES)
    for each in (content, content, content + last, first + content):  # the second time by heart
        same(each, rules)


@settings(max_examples=150)
@given(usual, st.data())
def test_and_every_broken_one(content: bytes, data: st.DataObject) -> None:
    rules = RemoteRules.model_validate(RULES)
    same(content, rules)
    if content:
        at = data.draw(st.integers(0, len(content) - 1))
        byte = data.draw(st.integers(0, 255))
        same(content[:at] + bytes([byte]) + content[at + 1 :], rules)
        same(content[:at], rules)


def test_what_senders_write_is_read_a_column_at_a_time() -> None:
    some = [as_written(NOW_MS + n, float(n)) for n in range(5)]  # the first one is zero
    content = series(indicator("rps"), some) + series(indicator("queue"), some[1:3])
    found = read_columns(content, LIMITS)
    assert found is not None
    assert found.series.tolist() == [0] * 5 + [1] * 2
    assert found.at_ms.tolist() == [NOW_MS + n for n in (0, 1, 2, 3, 4, 1, 2)]
    assert found.value.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]
    assert read_columns(series(indicator("rps"), some, rest=block(3, b"")), LIMITS) is None


@pytest.mark.parametrize("n", [200, 201])
def test_the_limit_of_samples_is_the_same(n: int) -> None:
    content = series(indicator("rps"), [as_written(NOW_MS, 1.0)] * n)
    found = read_columns(content, LIMITS)
    assert (found is None) == (n > 200)


@pytest.mark.parametrize("more", [0, 1])
def test_the_limit_of_fields_is_the_same(more: int) -> None:
    """Of 1,000 labels, in 50 series of a sample each, 1,100 fields."""
    many = {f"label_{n}": "v" * 40 for n in range(20)}
    content = series(many, [as_written(NOW_MS, 1.0)]) * 50
    limits = RequestLimits(max_bytes=24 * (1100 - more), max_samples=100)
    assert (read_columns(content, limits) is None) == bool(more)
    small = RequestLimits(max_bytes=24 * (1100 - more), max_samples=10)
    assert read_columns(content, small) is None


def test_what_was_learned_is_bounded() -> None:
    rules = RemoteRules.model_validate(RULES)
    blocks = [bytes([n]) * 9_000_000 for n in range(4)]
    for one in blocks:
        rules.learn(one, tuple(indicator("rps").items()))
    kept = [one is not None for one in rules.recall(blocks)]
    assert kept == [False, False, False, True]
