"""Bodies of a back-fill: JSON and CSV read alike, and what is refused as a whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from services.ingest.backfill.body import parse_csv, parse_json
from services.ingest.series.catalog import WorkloadName
from services.ingest.series.translate import ParsedPush
from services.kernel.errors import InvalidInput, PayloadTooLarge

LLAMA = WorkloadName("shop", "llama")
MOST = 1000


def csv(text: str, most: int = MOST) -> ParsedPush:
    return parse_csv(text.encode(), LLAMA, most)


def as_json(content: object, most: int = MOST) -> ParsedPush:
    return parse_json(json.dumps(content).encode(), LLAMA, most)


def told(parsed: ParsedPush) -> dict[str, list[tuple[int, float]]]:
    """(Epoch microseconds, value) pairs by indicator."""
    samples = parsed.samples
    rows = zip(samples.series.tolist(), samples.at_us.tolist(), samples.value.tolist(), strict=True)
    found: dict[str, list[tuple[int, float]]] = {}
    for series, at_us, value in rows:
        found.setdefault(parsed.names[series].indicator, []).append((at_us, value))
    return found


def test_both_forms_hold_the_same() -> None:
    sent = as_json({"indicators": {"rps": [["2026-01-05T00:00:00Z", 1.5], [1767571260, 2]],
                                   "queue": [[1767571260, 0]]}})  # fmt: skip
    table = csv("time,rps,queue\n2026-01-05T00:00:00Z,1.5,\n1767571260,2,0\n")
    assert told(sent) == told(table)
    assert told(table)["rps"] == [(1767571200 * 10**6, 1.5), (1767571260 * 10**6, 2.0)]
    assert table.names[0] == ("shop", "llama", "rps")
    assert table.rejections.n_rejected == 0


def test_a_spreadsheets_csv_is_read() -> None:
    parsed = csv('﻿ds,"rps"\r\n2026-01-05 00:00:00+00:00,"1.5"\r\n\r\n')
    assert told(parsed) == {"rps": [(1767571200 * 10**6, 1.5)]}


@given(st.lists(st.tuples(st.integers(0, 2**31), st.floats(0, 1e9)), min_size=1, max_size=20))
def test_any_samples_come_back_from_both(pairs: list[tuple[int, float]]) -> None:
    sent = as_json({"indicators": {"rps": pairs}})
    table = csv("time,rps\n" + "\n".join(f"{at},{value!r}" for at, value in pairs))
    assert told(sent) == told(table)


def test_a_sample_that_cannot_be_read_is_counted_and_the_others_stay() -> None:
    parsed = csv("time,rps\nyesterday,1\n2026-01-05 00:00:00,2\n1767571200,much\n1767571260,4\n")
    found = {one.reason: one for one in parsed.rejections.as_tuple()}
    assert found["bad_time"].count == 2
    assert "RFC 3339 with an offset" in found["bad_time"].example
    assert "'much' must be a number" in found["bad_value"].example
    assert told(parsed) == {"rps": [(1767571260 * 10**6, 4.0)]}


@pytest.mark.parametrize("written", ["1_042", "\u0661\u0662", "1\u00a0042", "0x10", "1 2"])
def test_what_only_python_takes_for_a_number_is_none(written: str) -> None:
    parsed = csv(f"time,rps\n1767571200,{written}\n{written},7\n1767571260, 4.5e1 \n")
    found = {one.reason: one for one in parsed.rejections.as_tuple()}
    assert (found["bad_value"].count, found["bad_time"].count) == (1, 1)
    assert f"{written!r} must be a number" in found["bad_value"].example
    assert told(parsed) == {"rps": [(1767571260 * 10**6, 45.0)]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must name the time and then different indicators"),
        ("time\n1\n", "must name the time and then different indicators"),
        ("time;rps\n1;2\n", "separated by commas"),
        ("time,rps,rps\n1,2,3\n", "different indicators"),
        ("time,rps,\n1,2,3\n", "must name the time"),
        ("time,rps\n1,2,3\n", "line 2 has 3 fields and the first line 2"),
        ("time,rps\n1\n", "line 2 has 1 fields"),
        ('time,rps\n"1,2\n', "line 2"),
    ],
)
def test_a_csv_that_is_none_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        csv(text)


def test_text_in_another_code_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no UTF-8 at byte 5"):
        parse_csv("time,größe\n".encode("latin-1")[:5] + b"\xff", LLAMA, MOST)


@pytest.mark.parametrize(
    "content", [[], {}, {"indicators": []}, {"indicators": {}}, {"observations": []}, 1, None]
)
def test_another_shape_is_told_the_right_one(content: object) -> None:
    with pytest.raises(InvalidInput, match=r'must read \{"indicators"'):
        as_json(content)


def test_samples_that_are_no_list_are_pointed_at() -> None:
    with pytest.raises(InvalidInput, match=r"indicators\.a/b: must be a list") as caught:
        as_json({"indicators": {"a/b": {"2026": 1}}})
    assert caught.value.pointer == "/indicators/a~1b"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_are_counted_however_they_end(end: str) -> None:
    """Each costs time while everybody else's pushes wait to be decoded."""
    lines = ["time,rps", "1,1", "2,2", "3,3"]
    assert len(csv(end.join(lines), most=3).samples) == 3
    with pytest.raises(PayloadTooLarge):
        csv(end.join([*lines, "", ""]), most=3)


def test_too_many_samples_are_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        as_json({"indicators": {"rps": [[n, 1] for n in range(4)]}}, most=3)
    with pytest.raises(PayloadTooLarge):
        csv("time,rps\n" + "1,1\n" * 5, most=3)
    with pytest.raises(PayloadTooLarge):
        csv("time,a,b\n1,1,1\n2,2,2\n", most=3)
