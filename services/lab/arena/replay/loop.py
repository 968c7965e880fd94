"""In the engine's process: the loop that scales workers by a policy on the other side."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.lab.arena.replay.pairs import FlightList
from services.lab.arena.replay.records import requests_of, served, write_trace

Exchange = Callable[[dict[str, Any]], dict[str, Any]]
ROLES = ("prefill", "decode")
FINISHED = ("ttft_ms", "tpot_ms", "input_tokens", "output_tokens")


class LoopSide:
    """The engine's view of a policy that decides elsewhere: asked by a line, told by a line.

    The engine looks at itself every few milliseconds (`on_sample`); what it saw since the last
    tick goes out with the next (`on_tick`).
    """

    def __init__(self, exchange: Exchange, asked: dict[str, Any]) -> None:
        """Nothing seen yet."""
        self.exchange = exchange
        self.start_ms = min(asked["arrival_ms"])
        self.first_tick_ms = asked["first_tick_ms"]
        self.pools = tuple(asked["initial"])
        self.flights = FlightList(requests_of(asked))
        self.last: dict[str, Any] = {}
        self.forget()

    def forget(self) -> None:
        """Begin a new interval."""
        self.arrived = 0
        self.finished: dict[str, list[float | None]] = {name: [] for name in FINISHED}
        self.busy: dict[str, list[float]] = {role: [] for role in ROLES}

    def on_sample(self, sample: dict[str, Any]) -> None:
        """Take in what happened since the sample before."""
        traffic = sample["traffic"]
        self.last = sample
        self.arrived += traffic["arriving_requests"]
        for role, shares in self.busy.items() if self.is_split else ():
            in_hand = [
                one["running_requests"] + one["waiting_requests"]
                for one in sample[f"{role}_scheduler_metrics"]
            ]
            if in_hand:
                shares.append(sum(n > 0 for n in in_hand) / len(in_hand))
        if traffic["completed_requests"]:
            for row in self.flights.finished(sample):
                for name, value in zip(FINISHED, row, strict=True):
                    self.finished[name].append(value)

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
        prefill, decode = self.work("prefill"), self.work("decode")
        found = {
            "now_ms": report["now_ms"] + self.start_ms,
            "pools": {pool: self.counts(report, pool) for pool in self.pools},
            "arrived": self.arrived,
            "finished": self.finished,
            "running": prefill["running"] + decode["running"],
            "waiting": prefill["waiting"] + decode["waiting"],
            "kv_usage": decode["kv_usage"],
        }
        return found | ({"work": {"prefill": prefill, "decode": decode}} if self.is_split else {})

    @property
    def is_split(self) -> bool:
        """Whether prefill and decode have workers of their own."""
        return "prefill" in self.pools

    def work(self, role: str) -> dict[str, Any]:
        """What the workers of a role have in hand."""
        workers = self.last[f"{role}_scheduler_metrics"]
        usage = [one["active_cache_usage"] for one in workers]
        waiting = sum(one["waiting_requests"] for one in workers)
        shares = self.busy[role]
        return {
            "running": sum(one["running_requests"] for one in workers),
            "waiting": waiting + self.last[f"router_pending_{role}_requests"],
            "kv_usage": sum(usage) / len(usage) if usage else 0.0,
            "busy": sum(shares) / len(shares) if shares else None,
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
    launches: dict[str, dict[str, Any]], asked: dict[str, Any], exchange: Exchange
) -> dict[str, Any]:
    """Serve requests by as many workers as the policy on the other side asks for."""
    side = LoopSide(exchange, asked)
    return run_loop(
        launches,
        asked,
        scaling_policy=side,
        telemetry_callback=side.on_sample,
        telemetry_sample_interval_ms=asked["sample_ms"],
        capture_telemetry=False,
    )


def run_loop(
    launches: dict[str, dict[str, Any]], asked: dict[str, Any], **policy: Any
) -> dict[str, Any]:
    """Replay requests under a scaling policy of the engine's own form."""
    from dynamo._core import run_mocker_trace_replay

    requests = requests_of(asked)
    start_ms = min(asked["arrival_ms"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        write_trace(path, sorted(requests))
        report = run_mocker_trace_replay(
            [str(path)],
            router_mode=asked["router"],
            capture_per_request=True,
            max_sim_time_ms=asked["until_ms"] - start_ms,
            **worker_options(launches, asked),
            **policy,
        )
    return {
        **served(requests, report.per_request),
        **lifecycle(report.lifecycle_operations, tuple(asked["initial"]), start_ms),
        "ended_ms": report.summary["duration_ms"] + start_ms,
    }


def worker_options(launches: dict[str, dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
    """The engine's options for workers of each pool: how they are launched, how many at first."""
    options: dict[str, Any] = {}
    for pool, launch in launches.items():
        started = json.dumps({**launch, "startup_time": asked["startup_s"]})
        if pool == "serve":
            options["extra_engine_args"] = started
            options["num_workers"] = asked["initial"][pool]
        else:
            options[f"{pool}_engine_args"] = started
            options[f"num_{pool}_workers"] = asked["initial"][pool]
    return options


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
