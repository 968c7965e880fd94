"""Requests in the engine's format, and its records of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.lab.arena.replay_records import AskedRequest, requests_of, served, write_trace
from tests.unit.lab.arena.fake_replay import asked


def blocks(path: Path, requests: list[AskedRequest]) -> list[list[int]]:
    write_trace(path, requests)
    return [json.loads(line)["hash_ids"] for line in path.read_text().splitlines()]


def test_no_prompt_shares_a_block_with_another(tmp_path: Path) -> None:
    requests = requests_of(asked((0.0, 512, 1), (1.0, 513, 1), (2.0, 1, 1)))
    assert blocks(tmp_path / "trace", requests) == [[0], [1, 2], [3]]


def test_prompts_share_the_blocks_that_are_given(tmp_path: Path) -> None:
    question = asked((0.0, 1500, 1), (1.0, 900, 1), (2.0, 400, 1))
    requests = requests_of({**question, "prefix": [[7, 8], [7, 8, 9], []]})
    assert blocks(tmp_path / "trace", requests) == [[7, 8, 10], [7, 8], [11]]


def test_a_record_of_no_request_is_refused() -> None:
    record = {"arrival_time_ms": 0.0, "input_length": 5, "requested_output_length": 1}
    with pytest.raises(ValueError, match="do not belong to the requests"):
        served([AskedRequest(0.0, 6, 1)], [record])
