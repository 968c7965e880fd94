"""In the engine's process: questions answered, one JSON document a line.

First `{"engine": {...}}`, then `{"replay": {...}}`, `{"loop": {...}}` or `{"planner": {...}}` as
often as wanted; each is answered by one line, `{"error": "..."}` where it cannot be done. Within a
loop each tick is a line out, `{"tick": {...}}`, and a line in: `{"targets": {...},
"next_tick_ms": ...}`, or `{"stop": true}`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, TextIO

from services.lab.arena.replay_launch import about, launch_of
from services.lab.arena.replay_loop import loop
from services.lab.arena.replay_planner import loop_planner
from services.lab.arena.replay_records import requests_of, served, write_trace


def replay(launches: dict[str, dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
    """Serve requests by `workers` replicas, in turn; per request TTFT and mean time per token, ms.

    Both are None for a request that was not completed, the second also for one of a single token.
    """
    if "serve" not in launches:
        raise ValueError("a replay needs mode=aggregated: two pools are replayed by a loop")
    from dynamo.replay import run_trace_replay

    requests = requests_of(asked)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        write_trace(path, sorted(requests))
        report = run_trace_replay(
            str(path),
            extra_engine_args=json.dumps(launches["serve"]),
            num_workers=asked["workers"],
            capture_per_request=True,
        )
    if len(report.per_request) != len(requests):
        raise ValueError(
            f"the engine answered {len(report.per_request)} of {len(requests)} requests"
        )
    return served(requests, report.per_request)


def serve(asks: TextIO, answers: TextIO) -> None:
    """Answer until the asking side closes."""

    def answer(document: dict[str, Any]) -> None:
        answers.write(json.dumps(document) + "\n")
        answers.flush()

    def exchange(document: dict[str, Any]) -> dict[str, Any]:
        answer(document)
        told: dict[str, Any] = json.loads(asks.readline() or "{}")
        return told

    launches: dict[str, dict[str, Any]] = {}
    for line in iter(asks.readline, ""):
        asked = json.loads(line)
        try:
            if "engine" in asked:
                launches = launch_of(asked["engine"])
                answer(about(launches))
            elif "loop" in asked:
                answer(loop(launches, asked["loop"], exchange))
            elif "planner" in asked:
                answer(loop_planner(launches, asked["planner"]))
            else:
                answer(replay(launches, asked["replay"]))
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is told to the asker
            answer({"error": " ".join(str(error).split()) or type(error).__name__})
