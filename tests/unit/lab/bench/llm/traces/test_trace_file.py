"""Files of requests: written whole, read with every fault named by its line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.llm.traces.trace_file import read_requests, write_requests
from tests.unit.lab.bench.llm.queue_engine import small_trace


def line(at: float, inputs: object = 5, outputs: object = 6) -> str:
    return json.dumps({"timestamp": at, "input_length": inputs, "output_length": outputs})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    requests = small_trace().requests
    write_requests(tmp_path / "a.jsonl", requests)
    found = read_requests(tmp_path / "a.jsonl")
    assert found.arrival_ms == pytest.approx(requests.arrival_ms - requests.arrival_ms[0])
    assert np.array_equal(found.input_tokens, requests.input_tokens)
    assert found.prefix is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no requests"),
        (["{"], "a.jsonl:1: no JSON"),
        (["[1]"], "a.jsonl:1: must be an object"),
        ([line(0), '{"timestamp": 1, "input_length": 4}'], "a.jsonl:2: output_length=None"),
        ([line(0), line(float("nan"))], "a.jsonl:2: timestamp=nan must be a number"),
        ([line(0, inputs=0)], "a.jsonl:1: input_length=0 must be a whole number >= 1"),
        ([line(0, outputs=2.5)], "a.jsonl:1: output_length=2.5 must be a whole number >= 1"),
        ([line(0, outputs=True)], "a.jsonl:1: output_length=True must be a number"),
        ([line(0, inputs=10**30)], "a.jsonl:1: input_length=10+ must be a number to 2.53"),
        ([line(10**400)], "a.jsonl:1: timestamp=10{59} must be a number"),
        (['{"timestamp": 1' + "0" * 5000 + "}"], "a.jsonl:1: no JSON: Exceeds the limit"),
        (["[" * 100_000], "a.jsonl:1: no JSON: maximum recursion"),
        ([line(5), line(3)], "a.jsonl:2: timestamp=3 is before 5 of the line above"),
        ([line(0), line(1e6)], "a.jsonl:2: .* 1000 s after the line above: a hole of over 900 s"),
    ],
)
def test_a_bad_file_is_refused_by_its_line(lines: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=message):
        read_requests(path)


def test_prefixes_are_shared_where_blocks_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"timestamp": at, "input_length": 1024, "output_length": 1} for at in range(2)]
    blocks = [[1, 2], [1, 3]]
    path.write_text(
        "\n".join(json.dumps({**r, "hash_ids": b}) for r, b in zip(rows, blocks, strict=True))
    )
    assert read_requests(path).prefix == ((1, 2), (1, 3))
    for bad in (["a"], [-1], [2**64], 3):
        path.write_text(json.dumps({**rows[0], "hash_ids": bad}))
        with pytest.raises(InvalidInput, match=r"hash_ids=.* must be a list of whole numbers"):
            read_requests(path)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.jsonl: cannot be read"):
        read_requests(tmp_path / "none.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"below\.jsonl"):
        write_requests(tmp_path / "file" / "below.jsonl", small_trace().requests)
