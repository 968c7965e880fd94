"""The scaling loop's lines of JSON, to the engine's process and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from services.lab.arena.loop import (
    FinishedRequests,
    LoopDecision,
    LoopResult,
    LoopSetup,
    LoopTargets,
    LoopTick,
    PoolCounts,
    PoolWork,
    WorkerTimeline,
)
from services.lab.arena.planner_setup import PlannerSetup
from services.lab.arena.requests import FloatArray, RequestList, ServedRequests


def loop_question(requests: RequestList, setup: LoopSetup, first_tick_s: float) -> dict[str, Any]:
    """What starts a loop."""
    return {
        **replay_question(requests, setup),
        "sample_ms": setup.sample_ms,
        "first_tick_ms": 1e3 * first_tick_s,
    }


def planner_question(
    requests: RequestList, setup: LoopSetup, planner: PlannerSetup, gpus: int
) -> dict[str, Any]:
    """What starts a loop under the Planner.

    Args:
        requests: What arrives.
        setup: How workers come and go.
        planner: The Planner's settings.
        gpus: GPUs of one worker.
    """
    history = planner.history
    return {
        **replay_question(requests, setup),
        "planner": {
            "config": planner.config(setup, gpus),
            "starting_told": planner.starting_told,
            "history": None if history is None else columns_of(history),
        },
    }


def replay_question(requests: RequestList, setup: LoopSetup) -> dict[str, Any]:
    """What any loop is asked."""
    return {
        **columns_of(requests),
        "initial": dict(setup.initial),
        "startup_s": setup.startup_s,
        "router": setup.router,
        "until_ms": float(requests.arrival_ms[-1]) + 1e3 * setup.drain_s,
    }


def columns_of(requests: RequestList) -> dict[str, Any]:
    """Requests, column by column."""
    return {
        "arrival_ms": requests.arrival_ms.tolist(),
        "input_tokens": requests.input_tokens.tolist(),
        "output_tokens": requests.output_tokens.tolist(),
        "prefix": requests.prefix,
    }


def tick_of(line: dict[str, Any]) -> LoopTick:
    """What the policy sees, from a line."""
    return LoopTick(
        now_s=line["now_ms"] / 1e3,
        pools={pool: PoolCounts(**counts) for pool, counts in line["pools"].items()},
        arrived=line["arrived"],
        finished=FinishedRequests(
            **{name: floats(values) for name, values in line["finished"].items()}
        ),
        running=line["running"],
        waiting=line["waiting"],
        kv_usage=line["kv_usage"],
        work={pool: PoolWork(**own) for pool, own in line.get("work", {}).items()},
    )


def targets_line(targets: LoopTargets, setup: LoopSetup) -> dict[str, Any]:
    """What the engine is told: counts within the setup's limits."""
    return {
        "targets": {
            pool: min(max(int(count), 1), setup.max_workers)
            for pool, count in targets.counts.items()
        },
        "next_tick_ms": 1e3 * targets.next_tick_s,
    }


def served_of(answer: dict[str, Any]) -> ServedRequests:
    """What requests felt, from an answer; what is not there is NaN."""
    return ServedRequests(
        **{name: floats(answer[name]) for name in ("ttft_ms", "tpot_ms", "e2e_ms")}
    )


def result_of(
    answer: dict[str, Any],
    requests: RequestList,
    setup: LoopSetup,
    decided: tuple[LoopDecision, ...],
    gpus: int,
) -> LoopResult:
    """What came of the policy, from the last line."""
    alive = {}
    for pool, initial in setup.initial.items():
        changes = answer["alive"][pool]
        at_s = [0.0, *(at_ms / 1e3 for at_ms, _ in changes)]
        counts = [initial, *(count for _, count in changes)]
        alive[pool] = WorkerTimeline(np.array(at_s), np.array(counts, np.int64))
    return LoopResult(
        served=served_of(answer),
        arrival_ms=requests.arrival_ms,
        alive=alive,
        events=answer["events"],
        decided=decided,
        gpus=dict.fromkeys(setup.initial, gpus),
        ended_s=answer["ended_ms"] / 1e3,
    )


def decided_of(answer: dict[str, Any]) -> tuple[LoopDecision, ...]:
    """What the Planner asked for, where it asked for a change."""
    return tuple(LoopDecision(one["at_ms"] / 1e3, one["counts"]) for one in answer["decided"])


def floats(values: list[float | None]) -> FloatArray:
    """(M,) numbers; None is NaN."""
    return np.array(values, np.float64)
