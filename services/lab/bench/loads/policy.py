"""Harmony as deployed under several loads: it learns what they do together from what requests feel.

As `services.lab.bench.decide.measured`, with a vector per step in the place of one demand. Which
loads are named, and what is made of the response that was learned, is what the arms change.

Shapes: G promises, W workloads, L loads of the view, F further loads, N steps, P draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from decider import (
    MissDraws,
    MissPrior,
    ShardRequest,
    Sla,
    WorkloadInput,
    decide_shard,
    equivalent_capacity,
    learn_misses,
)
from services.backtest.memory import DecisionMemory
from services.lab.bench.decide.deployed import N_HISTORY, Deployed
from services.lab.bench.decide.truth import GOOD_SHARE
from services.lab.bench.loads.arms import LoadArm
from services.lab.bench.loads.evidence import LoadSteps, at_mean, equivalent_past, is_due
from services.lab.bench.loads.simulate import LoadView
from services.simulator.policies.grid import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class KnownResponse:
    """A response as one promise uses it.

    Attributes:
        draws: P draws.
        edge: (P,) `equivalent_capacity` of it.
    """

    draws: MissDraws
    edge: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LoadState:
    """Memory between decisions: (G, W) counted steps and responses, and what promises remember."""

    memory: tuple[DecisionMemory, ...] = ()
    steps: tuple[tuple[LoadSteps, ...], ...] = ()
    responses: tuple[tuple[KnownResponse, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class MeasuredLoads:
    """One promise of time per setting, its objective measured (`LoadPolicy`).

    Attributes:
        deployed: Promises, lead times and settings of the decision stage.
        arm: What is left out.
        stated: (W, 1 + F) capacities of the named loads that it is told.
        told: (W,) responses that it knows, which then are not learned; empty: none.
        n_draws: Draws of each response.
        learn_every: Steps between two looks at the evidence, after the first ones.
    """

    deployed: Deployed
    arm: LoadArm
    stated: FloatArray
    told: tuple[MissDraws, ...] = ()
    n_draws: int = 64
    learn_every: int = 24

    @property
    def name(self) -> str:
        """Of the arm."""
        return self.arm.name

    @property
    def n_settings(self) -> int:
        """G."""
        return self.deployed.n_settings

    def label(self, setting: int) -> str:
        """The promise."""
        return f"{self.deployed.label(setting)}, measured"

    def initial_state(self) -> LoadState:
        """Filled at the first decision, when the number of workloads is known."""
        return LoadState()

    def believed_need(self, loads: FloatArray) -> FloatArray:
        """See `LoadPolicy`: the tightest of the named loads by its stated capacity."""
        return np.asarray((self._named(loads) / self.stated).max(axis=1))

    def decide(self, view: LoadView, state: LoadState) -> tuple[FloatArray, LoadState]:
        """Count and learn from the last step, then decide; hold before the first forecast."""
        grid = view.grid
        if view.paths is None:
            return grid.answer(np.full(grid.shape, np.nan)), state
        known, n_workloads = self._after(view, state), grid.shape[1]
        config = self.deployed.config
        decisions = decide_shard(self._request(view, known), config, grid.now_s)
        wanted = np.array([float(d.final) for d in decisions]).reshape(grid.shape)
        memory = tuple(
            own.decided(decisions[g * n_workloads : (g + 1) * n_workloads], grid.now_s, config.risk)
            for g, own in enumerate(known.memory)
        )
        return wanted, replace(known, memory=memory)

    def _named(self, loads: FloatArray) -> FloatArray:
        """(W, 1 + F, ...) the named ones of loads (W, L, ...)."""
        return loads[:, list(self.arm.columns)]

    def _slas(self) -> list[Sla]:
        return [Sla(epsilon, good_share=GOOD_SHARE) for epsilon in self.deployed.epsilons]

    def _after(self, view: LoadView, state: LoadState) -> LoadState:
        """What is known after the last step."""
        grid = view.grid
        n_workloads = grid.shape[1]
        known = state if state.memory else self._first(view)
        memory, risk = known.memory, self.deployed.config.risk
        if grid.last_violation is not None:
            memory = tuple(
                own.learned(grid.last_violation[g], sla, grid.step_s, risk)
                for g, (own, sla) in enumerate(zip(memory, self._slas(), strict=True))
            )
        if self.told:
            return replace(known, memory=memory)
        steps, responses = [], []
        for g, sla in enumerate(self._slas()):
            own = [self._counted(view, g, w, known.steps[g][w]) for w in range(n_workloads)]
            learned = []
            for w, before in enumerate(known.responses[g]):
                draws = self._learned(w, own[w], known.steps[g][w], before.draws)
                is_new = draws is not before.draws
                learned.append(_known(draws, sla, view.usual_requests[w]) if is_new else before)
            steps.append(tuple(own))
            responses.append(tuple(learned))
        return LoadState(memory, tuple(steps), tuple(responses))

    def _first(self, view: LoadView) -> LoadState:
        """Before any step: what is stated, or told."""
        n_settings, n_workloads = view.grid.shape
        none = LoadSteps.none(self.stated.shape[1])
        draws = self.told or tuple(
            self._taken(w, self._prior(w).draws(self.n_draws)) for w in range(n_workloads)
        )
        return LoadState(
            (DecisionMemory.empty(n_workloads),) * n_settings,
            ((none,) * n_workloads,) * n_settings,
            tuple(
                tuple(_known(d, sla, view.usual_requests[w]) for w, d in enumerate(draws))
                for sla in self._slas()
            ),
        )

    def _prior(self, w: int) -> MissPrior:
        capacity, *further = self.stated[w].tolist()
        return MissPrior.stated(capacity, 0.0, 1.0 - GOOD_SHARE, further)

    def _taken(self, w: int, draws: MissDraws) -> MissDraws:
        """What the arm makes of a posterior."""
        return at_mean(draws, self.stated[w]) if self.arm.posterior == "mean" else draws

    def _learned(self, w: int, steps: LoadSteps, before: LoadSteps, known: MissDraws) -> MissDraws:
        """The response after the steps so far, where it is time to look at them."""
        n = steps.n_seen
        if n == before.n_seen or not is_due(n, w, self.learn_every):
            return known
        load = steps.load[:, 0] if steps.load.shape[1] == 1 else steps.load
        found = learn_misses(self._prior(w), load, steps.missed, steps.total, self.n_draws)
        return self._taken(w, found.draws)

    def _counted(self, view: LoadView, g: int, w: int, steps: LoadSteps) -> LoadSteps:
        """The counts of the last step added, where they are known and something served it."""
        grid = view.grid
        if grid.last_missed is None or grid.last_ready is None:
            return steps
        missed, ready = float(grid.last_missed[g, w]), float(grid.last_ready[g, w])
        load = view.loads[w, list(self.arm.columns), -1]
        if not (np.isfinite(missed) and np.isfinite(load).all() and load[0] > 0 and ready > 0):
            return steps
        total = float(view.last_requests[w])
        return steps.with_step(grid.now_s - grid.step_s, load / ready, missed * total, total)

    def _request(self, view: LoadView, state: LoadState) -> ShardRequest:
        """The request with what each promise has learned of the responses."""
        assert view.paths is not None
        paths = self._named(view.paths)
        grid = replace(view.grid, paths=paths[:, 0], capacity=self.stated[:, 0])
        request = self.deployed.request(grid, self._slas(), state.memory)
        known = [one for row in state.responses for one in row]
        workloads = tuple(
            self._input(view, row, one, known[row].draws)
            for row, one in enumerate(request.workloads)
        )
        further = tuple(own[1:] if np.isfinite(own).all() else None for own in paths)
        return replace(
            request,
            workloads=workloads,
            responses=tuple(one.draws for one in known),
            capacity_draws=np.stack([one.edge for one in known]),
            further_paths=further * self.n_settings if self.stated.shape[1] > 1 else (),
        )

    def _input(
        self, view: LoadView, row: int, one: WorkloadInput, response: MissDraws
    ) -> WorkloadInput:
        """One promise of one workload; with further loads its history is the equivalent demand."""
        w = row % view.grid.shape[1]
        counted = replace(one, requests_per_step=float(view.usual_requests[w]))
        if self.stated.shape[1] == 1:
            return counted
        past = self._named(view.loads[w : w + 1, :, -N_HISTORY:])[0].T
        return replace(
            counted,
            history=replace(one.history, demand=equivalent_past(response, past)),
            further_capacity=tuple(self.stated[w, 1:].tolist()),
        )


def _known(draws: MissDraws, sla: Sla, requests: float) -> KnownResponse:
    return KnownResponse(draws, equivalent_capacity(draws, sla, float(requests)))
