"""The replay: simulated time moves step by step through the real pipeline, in lockstep.

Per step: the cluster lives until the step's end, the clock is set, the operator takes its snapshot
while the step's indicators are pushed and forecasts are made of them, and the loop waits until
every decision of that origin has an action or a named reason for none. Decisions are held back
until the snapshot is stored. Nothing is skipped when the machine is slow, so the simulated platform
decides at the step boundary with the data of completed steps, as its rivals do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import httpx
from sqlalchemy import Engine

from services.kernel.clock import ReplayClock
from services.kernel.errors import Unavailable
from services.lab.demo.cluster_client import ClusterClient
from services.lab.demo.repository import (
    Doorbell,
    decisions_held,
    n_settled,
    n_states_at,
    stage_counts,
)
from services.simulator.engine.specs import Interval
from services.simulator.fleet import Fleet, ScaledFleet

_STEP_TIMEOUT_S = 60.0
CHANNELS = ("harmony_states", "harmony_actions")


class Measure(Protocol):
    """Turns what happened in a step into the samples that the services would report."""

    def __call__(self, step: int, intervals: Sequence[Sequence[Interval]]) -> list[dict[str, Any]]:
        """Observations of step `step`, in the form of the push API.

        Args:
            step: Index of the step in the fleet.
            intervals: (V,) exact history of each target's replicas during the step.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReplayDeps:
    """Connections of the replay.

    Attributes:
        shards: Shards that the fleet's workloads are in.
        check: Raises when a process has ended.
    """

    engine: Engine
    clock: ReplayClock
    cluster: ClusterClient
    bell: Doorbell
    push: httpx.Client
    shards: Sequence[int]
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall seconds of one step.

    Attributes:
        snapshot_s: From the step's end to stored replica states; the push is within them.
        push_s: The push request.
        pipeline_s: From the answer to the push to every action applied or explained.
    """

    snapshot_s: float
    push_s: float
    pipeline_s: float


@dataclass(frozen=True, slots=True)
class StepTrace:
    """Result of one step.

    Attributes:
        intervals: (V,) exact history of the replicas during the step.
        spec: (V,) replicas in the Deployments' specs during the step.
        latency: How long the platform took over it.
    """

    intervals: tuple[tuple[Interval, ...], ...]
    spec: tuple[int, ...]
    latency: Latency


def kick_off(deps: ReplayDeps, fleet: Fleet, observations: list[dict[str, Any]]) -> None:
    """Let the platform decide at the start of the replay, on the last step of the history.

    Raises:
        Unavailable: A process has ended, or the pipeline does not get on.
    """
    deps.cluster.advance(fleet.step_at(fleet.n_history))
    _decide(deps, fleet, fleet.n_history - 1, observations)


def replay_step(deps: ReplayDeps, scaled: ScaledFleet, step: int, measure: Measure) -> StepTrace:
    """Live through one step, then carry it through the pipeline.

    Raises:
        Unavailable: A process has ended, or the pipeline does not get on.
    """
    fleet, targets = scaled.services, scaled.targets.workloads
    advanced = deps.cluster.advance(fleet.step_at(step + 1))
    intervals = tuple(advanced.intervals[target.key] for target in targets)
    spec = tuple(advanced.spec_replicas[target.key] for target in targets)
    return StepTrace(intervals, spec, _decide(deps, fleet, step, measure(step, intervals)))


def _decide(
    deps: ReplayDeps, fleet: Fleet, step: int, observations: list[dict[str, Any]]
) -> Latency:
    origin_at, now = fleet.step_at(step), fleet.step_at(step + 1)
    n = fleet.n_workloads
    started = time.perf_counter()
    with decisions_held(deps.engine, deps.shards):
        deps.clock.set(now)
        deps.bell.ring("harmony_tick", now.isoformat())
        asked = time.perf_counter()
        response = deps.push.post("/v1/observations", json={"observations": observations})
        if response.status_code != 202:
            message = f"the push API answered {response.status_code}: {response.text[:300]}"
            raise Unavailable(message)
        pushed = time.perf_counter()
        wait_for(deps, lambda: n_states_at(deps.engine, now) >= n, "replica states", origin_at)
        seen = time.perf_counter()
    wait_for(deps, lambda: n_settled(deps.engine, origin_at) >= n, "actions", origin_at)
    return Latency(seen - started, pushed - asked, time.perf_counter() - pushed)


def wait_for(deps: ReplayDeps, is_done: Callable[[], bool], what: str, origin_at: datetime) -> None:
    """Wait until `is_done`.

    Raises:
        Unavailable: A process has ended, or it takes longer than a minute.
    """
    deadline = time.monotonic() + _STEP_TIMEOUT_S
    while not is_done():
        deps.check()
        if time.monotonic() > deadline:
            counts = stage_counts(deps.engine, origin_at)
            raise Unavailable(
                f"the pipeline did not deliver {what} for {origin_at:%Y-%m-%d %H:%M} within "
                f"{_STEP_TIMEOUT_S:.0f} s (rows at this origin: {counts}); see the logs"
            )
        deps.bell.wait(0.1)
