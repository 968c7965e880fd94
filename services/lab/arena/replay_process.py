"""Replays requests on the engine; run as a script by the arena's own Python, nothing of ours in it.

One JSON document a line: first `{"engine": {...}}`, then `{"replay": {...}}` as often as wanted;
each is answered by one line, `{"error": "..."}` where it cannot be done. The engine's own messages
go to the standard error.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, TextIO

PACKAGES = ("aisimulate", "ai-dynamo", "ai-dynamo-runtime")
PREFIX_BLOCK = 512
"""Tokens that the trace format shares under one hash; no two requests here share any."""


def launch_of(asked: dict[str, Any]) -> dict[str, Any]:
    """The engine's launch configuration for a model, a GPU type and an engine.

    Raises:
        ValueError: The engine has no such profile; the message names those it has.
    """
    from aisimulate.compiler import prediction_to_replay_spec
    from aisimulate.config.cli import CorePredictionConfig
    from aisimulate.runner import materialize_engine_launch_config

    check_known(asked["model"], asked["gpu"])
    config = {
        "mode": "aggregated",
        "model": asked["model"],
        "hardware": asked["gpu"],
        "backend": asked["engine"],
        "workers": {"aggregated": {"parallelism": {"tensor": asked["tensor_parallel"]}}},
    }
    whole = CorePredictionConfig.model_validate({"engine": config})
    found = prediction_to_replay_spec(whole).backend_deployment
    launch: dict[str, Any] = materialize_engine_launch_config(
        found.backend,
        found.backend_version,
        found.parallel_config,
        dict(found.agg_engine_args),
        "aggregated",
    )
    return launch


def check_known(model: str, gpu: str) -> None:
    """Refuse names that the profiles lack: the engine would try to fetch an unknown model.

    Raises:
        ValueError: Either is unknown.
    """
    found = importlib.util.find_spec("aisimulate_core")
    home = Path(found.origin or "").parent if found else Path()
    models = {path.name for path in (home / "model_configs").glob("*_config.json")}
    gpus = sorted(path.name for path in (home / "systems" / "data").iterdir() if path.is_dir())
    if f"{model.replace('/', '--')}_config.json" not in models:
        family = model.split("/")[-1].split("-")[0].lower()
        names = (name.removesuffix("_config.json").replace("--", "/") for name in sorted(models))
        near = [name for name in names if family in name.lower()][:6]
        hint = f"; it has {', '.join(near)}" if near else ""
        raise ValueError(f"--model={model}: the engine knows no such model{hint}")
    if gpu not in gpus:
        raise ValueError(f"--gpu={gpu}: must be one of {', '.join(gpus)}")


def about(launch: dict[str, Any]) -> dict[str, Any]:
    """What the engine resolved, for the record: versions, memory, limits."""
    engine = launch["engine"]
    return {
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "engine_version": engine["timing_model"]["config"]["backend_version"],
        "kv_tokens": engine["num_gpu_blocks"] * engine["block_size"],
        "max_model_tokens": engine["max_model_len"],
        "max_sequences": engine["max_num_seqs"],
        "max_batched_tokens": engine["max_num_batched_tokens"],
    }


def replay(launch: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Serve requests by `workers` replicas, in turn; per request TTFT and mean time per token, ms.

    Both are None for a request that was not completed, the second also for one of a single token.
    """
    from dynamo.replay import run_trace_replay

    columns = [asked[name] for name in ("arrival_ms", "input_tokens", "output_tokens")]
    requests = list(zip(*columns, strict=True))
    order = sorted(range(len(requests)), key=requests.__getitem__)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        write_trace(path, [requests[at] for at in order])
        report = run_trace_replay(
            str(path),
            extra_engine_args=json.dumps(launch),
            num_workers=asked["workers"],
            capture_per_request=True,
        )
    keys = ("arrival_time_ms", "input_length", "requested_output_length")
    records = sorted(report.per_request, key=lambda record: [record[key] for key in keys])
    if len(records) != len(requests):
        raise ValueError(f"the engine answered {len(records)} of {len(requests)} requests")
    answer: dict[str, list[float | None]] = {
        "ttft_ms": [None] * len(records),
        "tpot_ms": [None] * len(records),
        "e2e_ms": [None] * len(records),
    }
    for at, record in zip(order, records, strict=True):
        if (record["input_length"], record["requested_output_length"]) != requests[at][1:]:
            raise ValueError("the engine's records do not belong to the requests")
        if record["terminal_status"] == "completed":
            answer["ttft_ms"][at] = record["ttft_ms"]
            answer["tpot_ms"][at] = record["itl_ms"]
            answer["e2e_ms"][at] = record["e2e_latency_ms"]
    return answer


def write_trace(path: Path, requests: list[tuple[float, int, int]]) -> None:
    """The file that the engine replays: no block of a prompt is shared with another's."""
    first_block = 0
    with path.open("w") as file:
        for arrival_ms, n_input, n_output in requests:
            n_blocks = -(-n_input // PREFIX_BLOCK)
            line = {
                "timestamp": arrival_ms,
                "input_length": n_input,
                "output_length": n_output,
                "hash_ids": list(range(first_block, first_block + n_blocks)),
            }
            file.write(json.dumps(line) + "\n")
            first_block += n_blocks


def serve(asks: TextIO, answers: TextIO) -> None:
    """Answer until the asking side closes."""
    launch: dict[str, Any] = {}
    for line in asks:
        asked = json.loads(line)
        try:
            if "engine" in asked:
                launch = launch_of(asked["engine"])
                answer = about(launch)
            else:
                answer = replay(launch, asked["replay"])
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is told to the asker
            answer = {"error": " ".join(str(error).split()) or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Keep the answers' stream for answers: whatever else is printed goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
