"""What a joint law is worth by itself: counts straight from the forecast, with the response known.

At each step as much is held as the forecast of the step before asks for: the quantile of the use
of a single replica under the arm's paths, at the promise. A step is out of SLA where its true use
is higher. There are no starts, no luck, nothing to learn and no feedback of risk that would make
up for a wrong law; parts of a replica may be held. So this says where a law matters at all, with
many draws of the response for little time, and the closed loop says what is left of it.

Shapes: G promises, W workloads, L loads, T steps, S paths, B blocks of days.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.kernel.errors import InvalidInput
from services.lab.bench.decide.frontier import block_sums
from services.lab.bench.decide.run import task_block
from services.lab.bench.loads.arms import LoadArm
from services.lab.bench.loads.effects import Document
from services.lab.bench.loads.forecasts import LoadForecasts
from services.lab.bench.loads.task import LoadTask
from services.simulator.fleet.arrays import F32Array, FloatArray

AHEAD = 1
"""A start takes one step: what serves in a step was decided at the start of the one before."""


def judged(arms: Sequence[LoadArm]) -> list[LoadArm]:
    """The arms that differ by their forecasts alone.

    Raises:
        InvalidInput: No part of Harmony is left to leave out.
    """
    found = [arm for arm in arms if len(arm.columns) > 1 and arm.posterior == "learned"]
    if len(found) < 2:
        named = ", ".join(arm.name for arm in arms[1:])
        raise InvalidInput(
            f"--arms={named}: with --open-loop the response is known and all loads are named; "
            "steps_permuted, loads_permuted, loads_ranked_alike and no_levels are right"
        )
    return found


def open_loop_sums(
    task: LoadTask, forecasts: LoadForecasts, epsilons: Sequence[float]
) -> list[Document]:
    """Per promise (W, B) sums over the counted part, as a run has them."""
    decide = task.decide
    first, size = decide.n_prelude, task_block(decide)
    known = decide.is_known[:, first:].astype(float)
    needed = task.truth.need()[:, first:]
    held = held_shares(
        task, forecasts.paths[first - AHEAD - forecasts.first_step : -AHEAD], epsilons
    )
    found = []
    for own, epsilon in zip(held, epsilons, strict=True):
        sums = {
            "out": (needed > own) * known,
            "held": own * known,
            "known": known,
            "believed": epsilon * known,
        }
        found.append({name: block_sums(one, size).tolist() for name, one in sums.items()})
    return found


def held_shares(task: LoadTask, paths: F32Array, epsilons: Sequence[float]) -> FloatArray:
    """(G, W, T) quantiles of the use of a single replica by paths (T, W, L, S, H).

    Where a load was not forecast, nothing is held.
    """
    n_workloads, levels = paths.shape[1], 1.0 - np.asarray(epsilons)
    found = np.zeros((len(levels), n_workloads, len(paths)))
    for w in range(n_workloads):
        loads = np.moveaxis(paths[:, w, :, :, AHEAD], 1, 2).astype(float)
        use = task.truth.response.use(np.maximum(loads, 0.0), np.full(loads.shape[:2], w))
        found[:, w] = np.nan_to_num(np.quantile(use, levels, axis=1))
    return found
