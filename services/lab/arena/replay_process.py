"""Replays requests on the engine: a script for the arena's own Python, nothing of ours in it.

One JSON document a line: first `{"engine": {...}}`, then `{"replay": {...}}` or `{"loop": {...}}`
as often as wanted; each is answered by one line, `{"error": "..."}` where it cannot be done. Within
a loop each tick is a line out, `{"tick": {...}}`, and a line in: `{"targets": {...},
"next_tick_ms": ...}`, or `{"stop": true}`. The engine's own messages go to the standard error.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

PACKAGES = ("aisimulate", "ai-dynamo", "ai-dynamo-runtime")
PREFIX_BLOCK = 512
"""Tokens that the trace format shares under one hash; no two requests here share any."""
MATCH_MS = 1e-3
FINISHED = {
    "ttft_ms": ("avg_ttft_ms", "ttft_count"),
    "tpot_ms": ("avg_itl_ms", "itl_count"),
    "input_tokens": ("avg_isl", "completed_requests"),
    "output_tokens": ("avg_osl", "completed_requests"),
}
"""What is told of finished requests: the engine's names of the mean and of how many it is of."""


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

    requests = requests_of(asked)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        write_trace(path, sorted(requests))
        report = run_trace_replay(
            str(path),
            extra_engine_args=json.dumps(launch),
            num_workers=asked["workers"],
            capture_per_request=True,
        )
    if len(report.per_request) != len(requests):
        raise ValueError(
            f"the engine answered {len(report.per_request)} of {len(requests)} requests"
        )
    return served(requests, report.per_request)


def requests_of(asked: dict[str, Any]) -> list[tuple[float, int, int]]:
    """Arrival, length of prompt and of answer of each request."""
    columns = [asked[name] for name in ("arrival_ms", "input_tokens", "output_tokens")]
    return list(zip(*columns, strict=True))


def served(
    requests: list[tuple[float, int, int]], records: list[dict[str, Any]]
) -> dict[str, list[float | None]]:
    """What each request felt: records found by arrival and lengths, None where there is none.

    Raises:
        ValueError: A record belongs to no request.
    """
    answer: dict[str, list[float | None]] = {
        name: [None] * len(requests) for name in ("ttft_ms", "tpot_ms", "e2e_ms")
    }
    start_ms = min(requests)[0]
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


def is_of(record: dict[str, Any], request: tuple[float, int, int], start_ms: float) -> bool:
    """Whether a record is of a request: the engine counts time from the first arrival."""
    arrival_ms, n_input, n_output = request
    return bool(
        abs(record["arrival_time_ms"] - (arrival_ms - start_ms)) < MATCH_MS
        and record["input_length"] == n_input
        and record["requested_output_length"] == n_output
    )


class LoopSide:
    """The engine's view of a policy that decides elsewhere: asked by a line, told by a line.

    The engine looks at itself every few milliseconds (`on_sample`); what it saw since the last
    tick goes out with the next (`on_tick`).
    """

    def __init__(
        self, exchange: Callable[[dict[str, Any]], dict[str, Any]], asked: dict[str, Any]
    ) -> None:
        """Nothing seen yet."""
        self.exchange = exchange
        self.start_ms = min(asked["arrival_ms"])
        self.first_tick_ms = asked["first_tick_ms"]
        self.pools = tuple(asked["initial"])
        self.last: dict[str, Any] = {}
        self.forget()

    def forget(self) -> None:
        """Begin a new interval."""
        self.arrived = 0
        self.finished: dict[str, list[float | None]] = {name: [] for name in FINISHED}

    def on_sample(self, sample: dict[str, Any]) -> None:
        """Take in what happened since the sample before."""
        traffic = sample["traffic"]
        self.last = sample
        self.arrived += traffic["arriving_requests"]
        n_finished = traffic["completed_requests"]
        if n_finished:
            for name, (mean, count) in FINISHED.items():
                n_known = min(traffic[count], n_finished)
                values = [traffic[mean]] * n_known + [None] * (n_finished - n_known)
                self.finished[name] += values

    def initial_tick_ms(self) -> float:
        """When the policy is asked first, on the engine's clock."""
        return float(max(self.first_tick_ms - self.start_ms, 0.0))

    def on_tick(self, report: dict[str, Any]) -> dict[str, Any]:
        """Ask the policy."""
        told = self.exchange({"tick": self.line(report)})
        self.forget()
        if "targets" not in told:
            raise ValueError("the policy has stopped")
        targets = told["targets"]
        return {
            "target_prefill": targets.get("prefill"),
            "target_decode": targets.get("serve", targets.get("decode")),
            "next_tick_ms": told["next_tick_ms"] - self.start_ms,
        }

    def line(self, report: dict[str, Any]) -> dict[str, Any]:
        """What the policy sees: nothing but what a scrape of the service could show."""
        workers = self.last["prefill_scheduler_metrics"] + self.last["decode_scheduler_metrics"]
        pending = [self.last[f"router_pending_{role}_requests"] for role in ("prefill", "decode")]
        usage = [one["active_cache_usage"] for one in self.last["decode_scheduler_metrics"]]
        return {
            "now_ms": report["now_ms"] + self.start_ms,
            "pools": {pool: self.counts(report, pool) for pool in self.pools},
            "arrived": self.arrived,
            "finished": self.finished,
            "running": sum(one["running_requests"] for one in workers),
            "waiting": sum(one["waiting_requests"] for one in workers) + sum(pending),
            "kv_usage": sum(usage) / len(usage) if usage else 0.0,
        }

    def counts(self, report: dict[str, Any], pool: str) -> dict[str, int]:
        """Workers of a pool; the engine keeps those that do both with its decode workers."""
        role = "prefill" if pool == "prefill" else "decode"
        return {
            "ready": report[f"active_{role}_count"],
            "starting": report[f"starting_{role}_count"],
            "draining": report[f"draining_{role}_count"],
        }


def loop(
    launch: dict[str, Any],
    asked: dict[str, Any],
    exchange: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Serve requests by as many workers as the policy on the other side asks for."""
    from dynamo._core import run_mocker_trace_replay

    requests = requests_of(asked)
    side = LoopSide(exchange, asked)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        write_trace(path, sorted(requests))
        report = run_mocker_trace_replay(
            [str(path)],
            extra_engine_args=json.dumps({**launch, "startup_time": asked["startup_s"]}),
            num_workers=asked["initial"]["serve"],
            router_mode=asked["router"],
            scaling_policy=side,
            telemetry_callback=side.on_sample,
            telemetry_sample_interval_ms=asked["sample_ms"],
            capture_telemetry=False,
            capture_per_request=True,
            max_sim_time_ms=asked["until_ms"] - side.start_ms,
        )
    return {
        **served(requests, report.per_request),
        **lifecycle(report.lifecycle_operations, side.pools, side.start_ms),
        "ended_ms": report.summary["duration_ms"] + side.start_ms,
    }


def lifecycle(
    operations: list[dict[str, Any]], pools: tuple[str, ...], start_ms: float
) -> dict[str, Any]:
    """Of each pool, when its workers alive became how many, and how often it was scaled."""
    alive: dict[str, list[list[float]]] = {pool: [] for pool in pools}
    events = dict.fromkeys(pools, 0)
    for operation in operations:
        pool = "serve" if operation["pool"] == "agg" else operation["pool"]
        n_alive = sum(len(workers) for workers in operation["state_after_batch"].values())
        if not alive[pool] or alive[pool][-1][1] != n_alive:
            alive[pool].append([operation["at_ms"] + start_ms, n_alive])
        events[pool] += operation["cause"] == "planner_scale"
    return {"alive": alive, "events": events}


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

    def answer(document: dict[str, Any]) -> None:
        answers.write(json.dumps(document) + "\n")
        answers.flush()

    def exchange(document: dict[str, Any]) -> dict[str, Any]:
        answer(document)
        told: dict[str, Any] = json.loads(asks.readline() or "{}")
        return told

    launch: dict[str, Any] = {}
    for line in iter(asks.readline, ""):
        asked = json.loads(line)
        try:
            if "engine" in asked:
                launch = launch_of(asked["engine"])
                answer(about(launch))
            elif "loop" in asked:
                answer(loop(launch, asked["loop"], exchange))
            else:
                answer(replay(launch, asked["replay"]))
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is told to the asker
            answer({"error": " ".join(str(error).split()) or type(error).__name__})


def main() -> None:
    """Keep the answers' stream for answers: whatever else is printed goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
