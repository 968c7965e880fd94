"""Harmony as it is deployed where an objective is measured: it learns what requests feel.

Its feedback of risk goes by the share of each step's requests that missed, and its decisions by a
response that it learns from the same counts, from the stated capacity on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from decider import (
    MissDraws,
    MissPrior,
    ShardRequest,
    Sla,
    decide_shard,
    equivalent_capacity,
    learn_misses,
)
from services.backtest.memory import DecisionMemory
from services.lab.bench.decide.deployed import N_HISTORY, Deployed, GridCell
from services.lab.bench.decide.truth import GOOD_SHARE, MIN_REQUESTS, REQUESTS_PER_UNIT
from services.simulator.course import Course
from services.simulator.policies.grid import FloatArray, GridView

EVIDENCE_S = 2 * 86_400.0
"""How far back steps count, as in the decision service."""
LEARN_STEPS, EARLY_STEPS = 6, 24
"""Steps between two looks at the evidence; in the first ones there is one at each step."""


@dataclass(frozen=True, slots=True, eq=False)
class CountedSteps:
    """Steps of a workload under one promise, oldest first; arrays (N,)."""

    at_s: FloatArray
    load: FloatArray
    missed: FloatArray
    total: FloatArray

    @classmethod
    def none(cls) -> CountedSteps:
        """Nothing was counted yet."""
        return cls(*(np.zeros(0) for _ in range(4)))

    def with_step(self, step: Sequence[float]) -> CountedSteps:
        """One more (at_s, load, missed, total), without those that are too old."""
        kept = self.at_s > step[0] - EVIDENCE_S
        columns = (self.at_s, self.load, self.missed, self.total)
        return CountedSteps(
            *(np.append(column[kept], value) for column, value in zip(columns, step, strict=True))
        )


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredState:
    """Memory between decisions.

    Attributes:
        memory: What each promise remembers.
        steps: (G, W) counted steps.
        responses: (G, W) what was made of them.
    """

    memory: tuple[DecisionMemory, ...] = ()
    steps: tuple[tuple[CountedSteps, ...], ...] = ()
    responses: tuple[tuple[MissDraws, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """One promise of time per setting, its objective measured (`GridPolicy`).

    Attributes:
        deployed: The same without a measurement.
        n_draws: Draws of each response.
        told: (W,) responses that it knows, which then are not learned; empty: none.
        name: Name in tables.
    """

    deployed: Deployed
    n_draws: int = 64
    told: tuple[MissDraws, ...] = ()
    name: str = "harmony"

    @property
    def n_settings(self) -> int:
        """G."""
        return self.deployed.n_settings

    def label(self, setting: int) -> str:
        """The promise."""
        return f"{self.deployed.label(setting)}, measured"

    def initial_state(self) -> MeasuredState:
        """Filled at the first decision, when the number of workloads is known."""
        return MeasuredState()

    def decide(self, view: GridView, state: MeasuredState) -> tuple[FloatArray, MeasuredState]:
        """Count and learn from the last step, then decide; hold before the first forecast."""
        if view.paths is None:
            return view.answer(np.full(view.shape, np.nan)), state
        known = self._after(view, state)
        slas, config = self._slas(), self.deployed.config
        request = self._felt(view, self.deployed.request(view, slas, known.memory), known)
        decisions = decide_shard(request, config, view.now_s)
        W = view.shape[1]
        wanted = np.array([float(d.final) for d in decisions]).reshape(view.shape)
        memory = tuple(
            own.decided(decisions[g * W : (g + 1) * W], view.now_s, config.risk)
            for g, own in enumerate(known.memory)
        )
        return wanted, replace(known, memory=memory)

    def _slas(self) -> list[Sla]:
        return [Sla(epsilon, good_share=GOOD_SHARE) for epsilon in self.deployed.epsilons]

    def _after(self, view: GridView, state: MeasuredState) -> MeasuredState:
        """What is known after the last step."""
        G, W = view.shape
        memory = state.memory or (DecisionMemory.empty(W),) * G
        steps = state.steps or ((CountedSteps.none(),) * W,) * G
        responses = state.responses or (tuple(self._prior(view, w) for w in range(W)),) * G
        if view.last_violation is not None:
            risk, slas = self.deployed.config.risk, self._slas()
            memory = tuple(
                own.learned(view.last_violation[g], slas[g], view.step_s, risk)
                for g, own in enumerate(memory)
            )
        if not self.told:
            cells = [[GridCell(g, w) for w in range(W)] for g in range(G)]
            steps = tuple(
                tuple(_counted(view, at, steps[at.setting][at.workload]) for at in row)
                for row in cells
            )
            responses = tuple(
                tuple(
                    self._learned(view, at, steps[at.setting][at.workload], known)
                    for at, known in zip(row, responses[at_row], strict=True)
                )
                for at_row, row in enumerate(cells)
            )
        return MeasuredState(memory, steps, responses)

    def _prior(self, view: GridView, w: int) -> MissDraws:
        return self.told[w] if self.told else _stated(view, w).draws(self.n_draws)

    def _learned(
        self, view: GridView, at: GridCell, steps: CountedSteps, known: MissDraws
    ) -> MissDraws:
        """The response after the steps so far, where it is time to look at them."""
        turn = round(view.now_s / view.step_s) + at.workload
        if steps.load.size == 0 or (steps.load.size > EARLY_STEPS and turn % LEARN_STEPS):
            return known
        prior = _stated(view, at.workload)
        return learn_misses(prior, steps.load, steps.missed, steps.total, self.n_draws).draws

    def _felt(self, view: GridView, request: ShardRequest, state: MeasuredState) -> ShardRequest:
        """The request with what each promise has learned of the responses."""
        requests = _requests(view)
        workloads = tuple(
            replace(one, requests_per_step=float(requests[row % view.shape[1]]))
            for row, one in enumerate(request.workloads)
        )
        responses = tuple(one for row in state.responses for one in row)
        capacity = np.stack(
            [
                equivalent_capacity(response, one.sla, one.requests_per_step)
                for response, one in zip(responses, workloads, strict=True)
            ]
        )
        return replace(request, workloads=workloads, responses=responses, capacity_draws=capacity)


def true_responses(course: Course) -> tuple[MissDraws, ...]:
    """(W,) the responses that serve a course, each as one draw.

    Args:
        course: One that is served, with one capacity over all of its steps.
    """
    served = course.served
    assert served is not None
    half = served.half(course.true_capacity())[:, 0]
    rows = zip(half, served.slope, served.floor, served.concentration, strict=True)
    return tuple(MissDraws(*(np.array([value]) for value in row)) for row in rows)


def _stated(view: GridView, w: int) -> MissPrior:
    return MissPrior.stated(float(view.capacity[w]), 0.0, 1.0 - GOOD_SHARE)


def _requests(view: GridView) -> FloatArray:
    """(W,) requests of a usual step."""
    recent = view.demand[:, -N_HISTORY:]
    with np.errstate(invalid="ignore"):
        known = np.where(np.isfinite(recent), recent, 0.0).sum(axis=1)
    mean = known / np.maximum(np.isfinite(recent).sum(axis=1), 1)
    return np.asarray(np.maximum(REQUESTS_PER_UNIT * mean, MIN_REQUESTS))


def _counted(view: GridView, at: GridCell, steps: CountedSteps) -> CountedSteps:
    """The counts of the last step added, where they are known and something served it."""
    if view.last_missed is None or view.last_ready is None:
        return steps
    missed, ready = view.last_missed[at], view.last_ready[at]
    demand = view.demand[at.workload, -1]
    if not (np.isfinite(missed) and np.isfinite(demand) and demand > 0 and ready > 0):
        return steps
    total = max(REQUESTS_PER_UNIT * demand, MIN_REQUESTS)
    return steps.with_step((view.now_s - view.step_s, demand / ready, missed * total, total))
