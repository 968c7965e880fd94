"""A run of Harmony: at every step each of its promises is asked about in one shard.

Shapes: W services, S paths, H steps ahead, C steps of history.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from decider import (
    Decision,
    FloatArray,
    ShardRequest,
    capacity_draws,
    decide_shard,
    peak_replicas,
)
from services.decision.headroom.advice import Dependence
from services.lab.bench.supply.demand import STEP_S, SupplyTask
from services.lab.bench.supply.own_side import CONFIG, AskedService, HarmonySide, StepInputs
from services.lab.bench.supply.run_figures import SettingFigures
from services.lab.bench.supply.said import SupplyForecasts
from services.lab.bench.supply.starts import RunClock

PROMISES = (0.003, 0.01, 0.02, 0.03)
HISTORY_STEPS = 144
N_DRAWS = 64


def run_own(
    task: SupplyTask, said: SupplyForecasts, sides: Sequence[HarmonySide]
) -> list[SettingFigures]:
    """Let Harmony decide at every step of the replay, under each of its promises."""
    capacity = [capacity_draws(float(c), 0.0, N_DRAWS) for c in task.fleet.capacity]
    n_steps = task.fleet.n_replay
    for step in range(n_steps):
        inputs = step_inputs(task, said, step, capacity)
        asked = [side.ask(inputs) for side in sides]
        for side, decisions in zip(sides, decide_step(inputs, capacity, asked), strict=True):
            side.apply(decisions, inputs)
            side.cluster.advance((step + 1) * float(STEP_S))
    first_s, end_s = task.n_warm_up * float(STEP_S), n_steps * float(STEP_S)
    last_s = max(0.5 * (first_s + end_s), end_s - 3600.0)
    return [side.figures(first_s, last_s) for side in sides]


def step_inputs(
    task: SupplyTask, said: SupplyForecasts, step: int, capacity: Sequence[FloatArray]
) -> StepInputs:
    """What all promises read at a step."""
    paths = said.paths[step].astype(np.float64)
    now_s = step * float(STEP_S)
    until = task.fleet.n_history + step
    at = RunClock(float(task.fleet.replay_start_s)).at(now_s)
    return StepInputs(
        step,
        now_s,
        paths,
        said.laws(step),
        said.rungs[step],
        tuple(peak_replicas(own, c) for own, c in zip(paths, capacity, strict=True)),
        task.seen[:, max(0, until - HISTORY_STEPS) : until],
        Dependence(float(said.dependence[step]), int(said.n_dependence_steps[step]), at),
    )


def decide_step(
    inputs: StepInputs, capacity: Sequence[FloatArray], asked: Sequence[Sequence[AskedService]]
) -> list[list[Decision]]:
    """Decisions of all promises and services: one shard for all that look equally far."""
    cells = [(e, w) for e, of_one in enumerate(asked) for w in range(len(of_one))]
    found: dict[tuple[int, int], Decision] = {}
    for reach in sorted({asked[e][w].reach for e, w in cells}):
        own = [(e, w) for e, w in cells if asked[e][w].reach == reach]
        at = [w for _, w in own]
        request = ShardRequest(
            tuple(asked[e][w].given for e, w in own),
            inputs.paths[at],
            np.stack([capacity[w] for w in at]),
            np.stack([asked[e][w].lead_time_s for e, w in own]),
            float(STEP_S),
            quantiles=tuple(inputs.laws[w] for w in at),
            reach=reach,
        )
        now_s = asked[own[0][0]][own[0][1]].given.forecast_origin_s + STEP_S
        found |= zip(own, decide_shard(request, CONFIG, now_s), strict=True)
    return [[found[e, w] for w in range(len(of_one))] for e, of_one in enumerate(asked)]
