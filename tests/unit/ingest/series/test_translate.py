"""Push requests: what is read, what is refused as a whole, what sample by sample."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from services.ingest.series.translate import (
    ParsedPush,
    _one_by_one,
    _usual,
    describe_time,
    parse_push,
)
from services.kernel.errors import InvalidInput, PayloadTooLarge

WHO = {"namespace": "shop", "workload": "llama", "indicator": "load_rps"}


def parse(samples: object, **other: object) -> ParsedPush:
    entry = {**WHO, "samples": samples, **other}
    return parse_push(json.dumps({"observations": [entry]}).encode(), 1000)


def test_times_in_both_forms() -> None:
    parsed = parse([[1767571200, 1], ["2026-01-05T00:00:00.25Z", 2], ["2026-01-05T02:00+02:00", 3]])
    first = 1767571200 * 1_000_000
    assert parsed.samples.at_us.tolist() == [first, first + 250_000, first]
    assert parsed.samples.value.tolist() == [1.0, 2.0, 3.0]
    assert parsed.rejections.n_rejected == 0


def test_the_same_series_twice_is_one() -> None:
    entries = [{**WHO, "samples": [[1, 1]]}, {**WHO, "samples": [[2, 2]]}]
    parsed = parse_push(json.dumps({"observations": entries}).encode(), 10)
    assert len(parsed.names) == 1
    assert parsed.samples.series.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ([1, 2, 3], "bad_sample"),
        (7, "bad_sample"),
        ({"t": 1}, "bad_sample"),
        (["yesterday", 1], "bad_time"),
        (["2026-01-05T00:00:00", 1], "bad_time"),
        ([None, 1], "bad_time"),
        ([True, 1], "bad_time"),
        ([float("nan"), 1], "bad_time"),
        ([1, None], "bad_value"),
        ([1, False], "bad_value"),
        ([1, "many"], "bad_value"),
        ([1, [2]], "bad_value"),
    ],
)
def test_an_unreadable_sample_is_refused_alone(sample: object, reason: str) -> None:
    parsed = parse([[1, 10], sample, [2, 20]])
    assert parsed.samples.value.tolist() == [10.0, 20.0]
    (only,) = parsed.rejections.as_tuple()
    assert (only.reason, only.count) == (reason, 1)
    assert only.example.startswith("shop/llama load_rps: ")
    assert parsed.unreadable == {0: {reason: 1}}


def test_words_of_prometheus_and_bare_nan_are_read_as_values() -> None:
    parsed = parse([[1, "NaN"], [2, "+Inf"], [3, float("inf")], [4, float("nan")], [5, 10**400]])
    assert len(parsed.samples) == 5
    assert parsed.rejections.n_rejected == 0  # they are refused, and counted, by the screening


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "body: must be a JSON object"),
        (b'{"samples": []}', "samples"),
        (b'{"observations": {}}', "observations"),
        (b'{"observations": [3]}', r"observations\[0\]: must be an object"),
        (b'{"observations": [{}]}', r"^observations\[0\]\.namespace: is missing, and needed$"),
        (b'{"observations": "x"}', r"^observations='x': must be a list of series"),
        (b'{"observations": null}', r"^observations=null: must be a list of series"),
        (b'{"observation": []}', r"^observations: is missing, .* has \['observation'\]$"),
        (b"{}", r"^observations: is missing, and needed$"),
        (
            b'{"observations": [{"namespace": "a", "workload": "b", "samples": []}]}',
            r"^observations\[0\]\.indicator: is missing",
        ),
        (b'{"observations": [{"namespace": null}]}', r"observations\[0\]\.workload: is missing"),
    ],
)
def test_a_malformed_request_is_refused_as_a_whole(body: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse_push(body, 100_000)


@pytest.mark.parametrize(
    ("key", "value"),
    [("workload", ""), ("indicator", 3), ("namespace", "x" * 300), ("workload", "a\0b")],
)
def test_a_bad_name_is_named(key: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=rf"observations\[0\]\.{key}="):
        parse([[1, 1]], **{key: value})


def test_samples_must_be_a_list() -> None:
    with pytest.raises(InvalidInput, match=r"observations\[0\]\.samples"):
        parse("1,2")


def test_a_fault_of_a_field_is_pointed_at() -> None:
    bodies = {
        "/observations": b'{"observations": "x"}',
        "/observations/0/namespace": b'{"observations": [{}]}',
        "/observations/0/workload": json.dumps(
            {"observations": [{**WHO, "workload": None, "samples": []}]}
        ).encode(),
    }
    for pointer, body in bodies.items():
        with pytest.raises(InvalidInput) as found:
            parse_push(body, 100)
        assert found.value.pointer == pointer
        assert "None" not in found.value.message


def test_what_holds_no_sample_is_named_and_only_where_nothing_does() -> None:
    parse([[1, 1]]).check_any("observations")
    parse([7]).check_any("observations")  # one that cannot be read is counted
    with pytest.raises(InvalidInput, match=r"^observations: shop/llama load_rps has no sample;"):
        parse([]).check_any("observations")
    empty = {**WHO, "samples": []}
    others = [{**empty, "indicator": f"load_{n}"} for n in range(3)]
    body = json.dumps({"observations": [empty, *others]}).encode()
    with pytest.raises(InvalidInput, match=r"load_rps has no sample, as 3 others; send one"):
        parse_push(body, 10).check_any("observations")
    with pytest.raises(InvalidInput, match=r"^observations: no series; send one sample"):
        parse_push(b'{"observations": []}', 10).check_any("observations")
    full = json.dumps({"observations": [empty, {**WHO, "samples": [[1, 1]]}]}).encode()
    parse_push(full, 10).check_any("observations")


def test_too_many_samples() -> None:
    with pytest.raises(PayloadTooLarge, match="more than 1000 samples"):
        parse([[n, 1] for n in range(1001)])


def test_series_without_samples_count_as_one() -> None:
    empty = {**WHO, "samples": []}
    full = {**WHO, "samples": [[n, 1] for n in range(8)]}
    parse_push(json.dumps({"observations": [full, empty, empty]}).encode(), 10)
    with pytest.raises(PayloadTooLarge, match="more than 10 samples"):
        parse_push(json.dumps({"observations": [full, empty, empty, empty]}).encode(), 10)


EMPTY = json.dumps({**WHO, "samples": []}).encode()
# What comes before, one of many, how many, what comes after: 100 MB in all, made when needed.
HOSTILE = {
    "series": (b'{"observations":[', EMPTY, 300_000, b"]}"),
    "samples": (b'{"observations":[{"samples":[', b"[1,2]", 4_000_000, b"]}]}"),
    "lists": (b"[", b"[]", 8_000_000, b"]"),
    "objects": (b"[", b"{}", 8_000_000, b"]"),
    "numbers": (b"[", b"1.5", 6_000_000, b"]"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_holds_too_much_is_refused_before_objects_are_made_of_it(kind: str) -> None:
    before, one, n, after = HOSTILE[kind]
    body = before + (one + b",") * (n - 1) + one + after
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match=r"more than (200000 samples|50000 series)"):
            parse_push(body, 200_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_series_are_bounded_by_themselves() -> None:
    for n_series in (50_000, 50_001):
        body = b'{"observations":[' + b",".join([EMPTY] * n_series) + b"]}"
        if n_series > 50_000:
            with pytest.raises(PayloadTooLarge, match="more than 50000 series"):
                parse_push(body, 200_000)
        else:
            assert len(parse_push(body, 200_000).samples) == 0


@given(st.lists(st.integers(0, 5), max_size=8), st.booleans())
def test_all_that_is_within_the_limit_is_read(sizes: list[int], is_spaced: bool) -> None:
    """The count of brackets and commas refuses nothing that the count of samples would take."""
    entries = [{**WHO, "samples": [[n, 1] for n in range(size)]} for size in sizes]
    separators = None if is_spaced else (",", ":")
    body = json.dumps({"observations": entries}, separators=separators).encode()
    found = parse_push(body, sum(max(1, size) for size in sizes))
    assert len(found.samples) == sum(sizes)


def test_milliseconds_are_recognised() -> None:
    assert "milliseconds" in describe_time(1767571200000 * 1_000_000)
    assert describe_time(1767571200 * 1_000_000) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=6))
def test_any_json_is_read_or_counted(samples: list[object]) -> None:
    parsed = parse(samples)
    assert len(parsed.samples) + parsed.rejections.n_rejected == len(samples)


odd_numbers = st.sampled_from([0, -1, 1e12, 9e12, -9e12, 1e301, 10**400, math.nan, math.inf])
numbers = st.one_of(st.integers(0, 10), st.floats(0, 2e9), odd_numbers)
odd_things = st.sampled_from([None, True, "NaN", "2026-01-05T00:00:00Z", "x", [], {}])
pairs = st.one_of(
    st.lists(numbers, min_size=2, max_size=2),
    st.lists(st.one_of(numbers, odd_things), max_size=3),
)
words = st.sampled_from(["shop", "llama", "rps", "", "\0", "w" * 253, "w" * 254])
usual_words = st.sampled_from(["shop", "llama", "rps"])


def entries_of(word: st.SearchStrategy[object], pair: st.SearchStrategy[object]) -> Any:
    keys = ("namespace", "workload", "indicator")
    parts = dict.fromkeys(keys, word) | {"samples": st.lists(pair, max_size=4)}
    return st.lists(st.fixed_dictionaries(parts), max_size=6)


whole = entries_of(usual_words, st.tuples(st.floats(0, 2e9), st.floats(0, 1e6)))
odd_entries = st.one_of(
    entries_of(usual_words, pairs), entries_of(st.one_of(words, odd_things), pairs)
)


@settings(max_examples=400)
@given(st.one_of(whole, odd_entries), st.integers(1, 12))
def test_a_column_at_a_time_as_entry_by_entry(
    entries: list[dict[str, Any]], max_samples: int
) -> None:
    usual = _usual(entries, max_samples)
    if usual is None:
        return
    expected = _one_by_one(entries, max_samples)
    assert usual.names == expected.names
    assert usual.samples.series.tolist() == expected.samples.series.tolist()
    assert usual.samples.at_us.tolist() == expected.samples.at_us.tolist()
    assert usual.samples.value.tolist() == expected.samples.value.tolist()
    assert (usual.unreadable, usual.rejections) == (expected.unreadable, expected.rejections)


def test_a_request_as_it_should_be_is_read_a_column_at_a_time() -> None:
    found = _usual([{**WHO, "samples": [[1, 2], [2, 3.5]]}, {**WHO, "samples": [[3, 4]]}], 3)
    assert found is not None
    assert found.samples.value.tolist() == [2.0, 3.5, 4.0]
