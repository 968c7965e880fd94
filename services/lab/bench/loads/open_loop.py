"""What a law is worth by itself: counts straight from the forecast, without any feedback.

At each step as much is held as the forecast of the step before asks for: the quantile of the use
of a single replica under the arm's paths, at the promise. A step is out of SLA where its true use
is higher. There are no starts, no luck and no feedback of risk that would make up for a wrong law;
parts of a replica may be held. The response is known, or what was learned of it up to the counted
part. So this says where a law matters at all, with many draws of the response for little time, and
the closed loop says what is left of it.

Shapes: G promises, W workloads, L loads, T steps, S paths, B blocks of days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider import MissDraws
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.frontier import block_sums
from services.lab.bench.decide.run import task_block
from services.lab.bench.loads.ages import learned_after
from services.lab.bench.loads.arms import LoadArm
from services.lab.bench.loads.effects import Document
from services.lab.bench.loads.forecasts import LoadForecasts
from services.lab.bench.loads.response import TOLERATED
from services.lab.bench.loads.task import LoadTask
from services.simulator.fleet.arrays import F32Array, FloatArray

AHEAD = 1
"""A start takes one step: what serves in a step was decided at the start of the one before."""


LEARNING_PROMISE = 0.01
"""At which replicas are held in the steps that a service has learned from."""


def judged(arms: Sequence[LoadArm], *, is_learned: bool) -> list[LoadArm]:
    """The arms that differ by what is asked here.

    Args:
        arms: Harmony and others.
        is_learned: Whether the response is learned; else it is known, and has no spread.

    Raises:
        InvalidInput: No part of Harmony is left to leave out.
    """
    posteriors = ("learned", "mean") if is_learned else ("learned",)
    found = [arm for arm in arms if len(arm.columns) > 1 and arm.posterior in posteriors]
    if len(found) < 2:
        named = ", ".join(arm.name for arm in arms[1:])
        raise InvalidInput(
            f"--arms={named}: with --open-loop all loads are named; steps_permuted, "
            "loads_permuted, loads_ranked_alike and no_levels are right, and posterior_mean "
            "with --ages"
        )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class OpenLoop:
    """One draw of the response.

    Attributes:
        task: The data.
        forecasts: As Harmony has them.
        epsilons: G promises.
        age: Steps since the response last changed; None: it is known.
    """

    task: LoadTask
    forecasts: LoadForecasts
    epsilons: tuple[float, ...]
    age: int | None = None

    def sums(self, arm: LoadArm, forecasts: LoadForecasts) -> list[Document]:
        """Per promise (W, B) sums over the counted part, as a run has them.

        Args:
            arm: What is left out.
            forecasts: As the arm has them.
        """
        decide = self.task.decide
        first, size = decide.n_prelude, task_block(decide)
        known = decide.is_known[:, first:].astype(float)
        needed = self.task.truth.need()[:, first:]
        rng = make_rng(decide.options.seed, "bench", "loads", "open", "pairs")
        paths = forecasts.paths[self._first_row :][:-AHEAD]
        held = held_shares(self.task, paths, self.epsilons, self._learned(arm), rng)
        found = []
        for own, epsilon in zip(held, self.epsilons, strict=True):
            sums = {
                "out": (needed > own) * known,
                "held": own * known,
                "known": known,
                "believed": epsilon * known,
            }
            found.append({name: block_sums(one, size).tolist() for name, one in sums.items()})
        return found

    def _learned(self, arm: LoadArm) -> tuple[MissDraws, ...]:
        """(W,) responses that an arm decides by; empty: the true ones.

        Raises:
            InvalidInput: So long ago there was no forecast.
        """
        if self.age is None:
            return ()
        first = self._first_row
        if self.age > first:
            raise InvalidInput(f"--ages={self.age}: at most {first} steps are right here")
        paths = self.forecasts.paths[first - self.age : first]
        (held,) = held_shares(self.task, paths, (LEARNING_PROMISE,))
        return learned_after(self.task, held, arm)

    @property
    def _first_row(self) -> int:
        """Of the forecasts: the decision that the first counted step is served by."""
        return self.task.decide.n_prelude - AHEAD - self.forecasts.first_step


def held_shares(
    task: LoadTask,
    paths: F32Array,
    epsilons: Sequence[float],
    responses: Sequence[MissDraws] = (),
    rng: np.random.Generator | None = None,
) -> FloatArray:
    """(G, W, T) quantiles of the use of a single replica.

    Where a load was not forecast, nothing is held.

    Args:
        task: The benchmark.
        paths: (T, W, L, S, H) forecasts.
        epsilons: G promises.
        responses: (W,) what is known of the response, each path under one of the draws; empty: the
            true one.
        rng: Which draw meets which path.
    """
    n_workloads, levels = paths.shape[1], 1.0 - np.asarray(epsilons)
    found = np.zeros((len(levels), n_workloads, len(paths)))
    for w in range(n_workloads if len(paths) else 0):
        loads = np.maximum(np.moveaxis(paths[:, w, :, :, AHEAD], 1, 2).astype(float), 0.0)
        if responses:
            assert rng is not None
            use = _learned_use(responses[w], loads, rng)
        else:
            use = task.truth.response.use(loads, np.full(loads.shape[:2], w))
        found[:, w] = np.nan_to_num(np.quantile(use, levels, axis=1))
    return found


def _learned_use(draws: MissDraws, loads: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(T, S) use of a single replica under loads (T, S, L), each path with a draw of its own."""
    n_steps, n_paths, n_loads = loads.shape
    use = np.zeros((n_steps, n_paths))
    of = rng.permutation(np.arange(n_paths) % draws.capacity.size)
    for p in range(min(draws.capacity.size, n_paths)):
        one, own = draws.rows(np.array([p])), loads[:, of == p].reshape(-1, n_loads)
        found = one.equivalent(own) / one.load_within(TOLERATED)[0]
        use[:, of == p] = found.reshape(n_steps, -1)
    return use
