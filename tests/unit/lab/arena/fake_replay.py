"""Stand-ins for what the engine's process imports: records by rule, a loop of two ticks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

WORKER = {"active_cache_usage": 0.5, "running_requests": 3, "waiting_requests": 1}
SAMPLE = {
    "traffic": {
        "arriving_requests": 2,
        "completed_requests": 2,
        "avg_ttft_ms": 70.0,
        "ttft_count": 2,
        "avg_itl_ms": 30.0,
        "itl_count": 1,
        "avg_isl": 10.0,
        "avg_osl": 5.0,
    },
    "prefill_scheduler_metrics": [],
    "decode_scheduler_metrics": [WORKER, {**WORKER, "active_cache_usage": 0.7}],
    "router_pending_prefill_requests": 0,
    "router_pending_decode_requests": 4,
}
REPORT = {
    f"{state}_{role}_count": n
    for n, state in enumerate(("active", "starting", "draining"))
    for role in ("prefill", "decode")
}
OPERATIONS = [
    {
        "at_ms": at_ms,
        "pool": "agg",
        "cause": cause,
        "state_after_batch": {"active": active, "starting": starting, "draining": []},
    }
    for at_ms, cause, active, starting in (
        (1000.0, "planner_scale", [0], [1]),
        (2000.0, "worker_ready_event", [0, 1], []),
        (3000.0, "planner_scale", [0, 1], [2, 3]),
    )
]


class FakeReplay:
    """The engine's functions; records come back in another order, the longest prompt refused.

    Attributes:
        traces: Traces that were replayed.
        told: What the engine was told by the policy, tick by tick.
        options: How it was started last.
    """

    def __init__(self) -> None:
        self.traces: list[list[dict[str, Any]]] = []
        self.told: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}

    def run_trace_replay(self, path: str, **_: Any) -> Any:
        lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
        self.traces.append(lines)
        first = lines[0]["timestamp"]
        records = [
            {
                "arrival_time_ms": line["timestamp"] - first,
                "input_length": line["input_length"],
                "requested_output_length": line["output_length"],
                "terminal_status": "rejected" if line["input_length"] > 5000 else "completed",
                "ttft_ms": line["input_length"] * 2.0,
                "itl_ms": None if line["output_length"] == 1 else 30.0,
                "e2e_latency_ms": 900.0,
            }
            for line in reversed(lines)
        ]
        return SimpleNamespace(per_request=records)

    def run_mocker_trace_replay(self, paths: list[str], **options: Any) -> Any:
        report = self.run_trace_replay(*paths)
        self.options = options
        policy = options["scaling_policy"]
        sample = options.get("telemetry_callback", lambda _: None)
        now_ms = policy.initial_tick_ms()
        for _ in range(2):
            sample(SAMPLE)
            sample(SAMPLE)
            self.told.append(policy.on_tick({**REPORT, "now_ms": now_ms}))
            now_ms = self.told[-1]["next_tick_ms"]
        report.per_request.pop(0)  # one that was never finished has no record
        report.summary = {"duration_ms": 9000.0}
        report.lifecycle_operations = OPERATIONS
        return report


def install(monkeypatch: pytest.MonkeyPatch) -> FakeReplay:
    """Put stand-ins where the engine's packages would be."""
    fake = FakeReplay()
    functions = {
        "dynamo": {},
        "dynamo.replay": {"run_trace_replay": fake.run_trace_replay},
        "dynamo._core": {"run_mocker_trace_replay": fake.run_mocker_trace_replay},
    }
    for name, found in functions.items():
        module = ModuleType(name)
        module.__dict__.update(found)
        monkeypatch.setitem(sys.modules, name, module)
    return fake


def asked(*requests: tuple[float, int, int]) -> dict[str, Any]:
    arrival, inputs, outputs = (list(column) for column in zip(*requests, strict=True))
    columns = {"arrival_ms": arrival, "input_tokens": inputs, "output_tokens": outputs}
    return {**columns, "workers": 1}


def loop_of(*requests: tuple[float, int, int], **further: Any) -> dict[str, Any]:
    """A question for a loop over requests."""
    return {
        **asked(*requests),
        "initial": {"serve": 1},
        "startup_s": 60.0,
        "router": "round_robin",
        "until_ms": 10_500.0,
        "sample_ms": 25.0,
        "first_tick_ms": 0.0,
        **further,
    }
