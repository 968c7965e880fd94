"""In the engine's process: requests in its format, and its records of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

PREFIX_BLOCK = 512
"""Tokens that the trace format shares under one hash."""
MATCH_MS = 1e-3


class AskedRequest(NamedTuple):
    """One request; blocks of its prompt that others may share come first."""

    arrival_ms: float
    n_input: int
    n_output: int
    shared: tuple[int, ...] = ()


def requests_of(asked: dict[str, Any]) -> list[AskedRequest]:
    """Requests, from columns."""
    columns = [asked[name] for name in ("arrival_ms", "input_tokens", "output_tokens")]
    shared = asked.get("prefix") or [()] * len(columns[0])
    return [
        AskedRequest(arrival_ms, n_input, n_output, tuple(blocks))
        for arrival_ms, n_input, n_output, blocks in zip(*columns, shared, strict=True)
    ]


def served(
    requests: list[AskedRequest], records: list[dict[str, Any]]
) -> dict[str, list[float | None]]:
    """What each request felt: records found by arrival and lengths, None where there is none.

    Raises:
        ValueError: A record belongs to no request.
    """
    answer: dict[str, list[float | None]] = {
        name: [None] * len(requests) for name in ("ttft_ms", "tpot_ms", "e2e_ms")
    }
    start_ms = min(requests).arrival_ms
    places = iter(sorted(range(len(requests)), key=requests.__getitem__))
    keys = ("arrival_time_ms", "input_length", "requested_output_length")
    for record in sorted(records, key=lambda record: [record[key] for key in keys]):
        place = next((at for at in places if is_of(record, requests[at], start_ms)), None)
        if place is None:
            raise ValueError("the engine's records do not belong to the requests")
        if record["terminal_status"] == "completed":
            answer["ttft_ms"][place] = record["ttft_ms"]
            answer["tpot_ms"][place] = record["itl_ms"]
            answer["e2e_ms"][place] = record["e2e_latency_ms"]
    return answer


def is_of(record: dict[str, Any], request: AskedRequest, start_ms: float) -> bool:
    """Whether a record is of a request: the engine counts time from the first arrival."""
    return bool(
        abs(record["arrival_time_ms"] - (request.arrival_ms - start_ms)) < MATCH_MS
        and record["input_length"] == request.n_input
        and record["requested_output_length"] == request.n_output
    )


def write_trace(path: Path, requests: list[AskedRequest]) -> None:
    """The file that the engine replays: blocks of prompts are shared only where asked."""
    own_block = 1 + max((block for request in requests for block in request.shared), default=-1)
    with path.open("w") as file:
        for request in requests:
            n_blocks = -(-request.n_input // PREFIX_BLOCK)
            shared = list(request.shared[:n_blocks])
            n_own = n_blocks - len(shared)
            line = {
                "timestamp": request.arrival_ms,
                "input_length": request.n_input,
                "output_length": request.n_output,
                "hash_ids": shared + list(range(own_block, own_block + n_own)),
            }
            file.write(json.dumps(line) + "\n")
            own_block += n_own
