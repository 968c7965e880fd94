"""Harmony's planner at its own steps, with the fast path at every sub-step between them.

Shapes: G settings, W workloads, C columns of sub-steps, S sample paths, H steps ahead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decider.planning.fast_path import (
    FastTrial,
    TrialCounts,
    WitnessErrors,
    Witnesses,
    correction,
)
from services.simulator.policies.grid import FloatArray, GridPolicy, GridView
from services.simulator.policies.view import RELATIVE_SLACK

LEAST_LOAD_SHARE = 0.05
"""Loads below this share of a replica are as good as that."""


@dataclass(frozen=True, slots=True, eq=False)
class FastState:
    """Memory of `FastPath`.

    Attributes:
        slow: Of the planner.
        errors: Of forecasts and newest demand.
        said: What was expected at the last sub-steps, oldest first, whose outcome is open.
        counts: (G, W) of the planner's last decision.
        middle: (W,) middle of the forecast that it was decided by.
        out: (G, W) sum of the shares out of SLA since.
        n_known: (G, W) how many of them are known.
        trial: What acting would have saved.
        tried: Counts of the last sub-steps, oldest first, that are not in force yet.
    """

    slow: Any
    errors: WitnessErrors | None = None
    said: tuple[Witnesses, ...] = ()
    counts: FloatArray | None = None
    middle: FloatArray | None = None
    out: FloatArray | None = None
    n_known: FloatArray | None = None
    trial: FastTrial | None = None
    tried: tuple[TrialCounts, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FastPath:
    """A planner of steps that also acts between them (`GridPolicy`); decides at every sub-step.

    Attributes:
        planner: Decides at each step.
        per_step: Sub-steps of a step.
        lead_s: Seconds that a start takes.
        may_release: Whether counts may fall between decisions.
        memory_s: After so long an outcome weighs a third.
        price: (G, W) replicas that a step out of SLA is worth: it then acts only for services where
            that would have paid so far. None: it acts for all.
    """

    planner: GridPolicy[Any]
    per_step: int
    lead_s: float
    may_release: bool = False
    memory_s: float = 2 * 86_400.0
    price: Callable[[GridView], FloatArray] | None = None
    name: str = "harmony_fast"

    @property
    def n_settings(self) -> int:
        """G."""
        return self.planner.n_settings

    def label(self, setting: int) -> str:
        """The planner's."""
        return self.planner.label(setting)

    def initial_state(self) -> FastState:
        """Nothing decided."""
        return FastState(self.planner.initial_state())

    def decide(self, view: GridView, state: FastState) -> tuple[FloatArray, FastState]:
        """The planner's count at a step's boundary, the corrected one between."""
        state = _measured(view, state)
        position = round(view.now_s / view.step_s) % self.per_step
        if view.paths is None:
            counts, slow = self.planner.decide(self._coarse(view, state), state.slow)
            return counts, replace(state, slow=slow)
        state, said = self._learned(view, state, position)
        if position == 0:
            nothing = np.zeros(view.shape)
            counts, slow = self.planner.decide(self._coarse(view, state), state.slow)
            step_s = view.step_s * self.per_step
            middle = self._forecast(view, 0, (step_s + self.lead_s) / step_s)
            tried = (*(one.capped(counts) for one in state.tried), TrialCounts(counts, counts))
            changed = replace(state, slow=slow, counts=counts, middle=middle)
            changed = replace(changed, tried=tried[-self._n_ahead(view) :])
            return counts, replace(changed, out=nothing, n_known=nothing)
        if state.counts is None:
            return view.answer(np.full(view.shape, np.nan)), state
        planned, wanted = state.counts, self._corrected(view, state, said)
        tried = (*state.tried, TrialCounts(planned, wanted))
        state = replace(state, tried=tried[-self._n_ahead(view) :])
        if state.trial is not None:
            wanted = np.where(state.trial.pays(), wanted, view.answer(planned))
        return wanted, state

    def _coarse(self, view: GridView, state: FastState) -> GridView:
        n = self.per_step
        first = view.demand.shape[1] % n
        parts = view.demand[:, first:].reshape(view.demand.shape[0], -1, n)
        is_known = np.isfinite(parts)
        total, n_known = np.where(is_known, parts, 0.0).sum(axis=2), is_known.sum(axis=2)
        demand = np.where(n_known > 0, total / np.maximum(n_known, 1), np.nan)
        last = None
        if state.out is not None and state.n_known is not None:
            last = np.where(state.n_known > 0, state.out / np.maximum(state.n_known, 1), np.nan)
        return replace(view, step_s=view.step_s * n, demand=demand, last_violation=last)

    def _learned(
        self, view: GridView, state: FastState, position: int
    ) -> tuple[FastState, Witnesses]:
        """Take the outcome that is known by now, and say what is expected next."""
        n_ahead = self._n_ahead(view)
        if self.price is not None:
            state = self._judged(view, state, self.price(self._coarse(view, state)))
        errors = state.errors or WitnessErrors.none(view.shape[1])
        if len(state.said) == n_ahead:
            peak = self._log(view, view.demand[:, -n_ahead:]).max(axis=1)
            errors = errors.learned(state.said[0], peak, view.step_s / self.memory_s)
        step_s = view.step_s * self.per_step
        elapsed_s = position * view.step_s
        until = (elapsed_s + view.step_s + self.lead_s) / step_s
        newest = self._log(view, view.last_demand())
        said = Witnesses(self._forecast(view, int(elapsed_s // step_s), until), newest)
        kept = (*state.said, said)[-n_ahead:]
        return replace(state, errors=errors, said=kept), said

    def _n_ahead(self, view: GridView) -> int:
        """Sub-steps from a decision to the end of the first that its starts serve."""
        return 1 + math.ceil(self.lead_s / view.step_s - 1e-9)

    def _judged(self, view: GridView, state: FastState, price: FloatArray) -> FastState:
        """Count what acting would have saved in the sub-step that is now over."""
        trial = state.trial or FastTrial.none(view.shape)
        if len(state.tried) == self._n_ahead(view):
            needed = view.replicas_for(view.last_demand())
            forgetting = view.step_s / self.memory_s
            trial = trial.learned(state.tried[0], needed, price, forgetting)
        return replace(state, trial=trial)

    def _corrected(self, view: GridView, state: FastState, said: Witnesses) -> FloatArray:
        assert state.counts is not None
        assert state.middle is not None
        assert state.errors is not None
        decided = np.maximum(state.counts, LEAST_LOAD_SHARE) * view.capacity
        load = correction(decided, state.middle, said, state.errors)
        wanted = np.ceil(load / view.capacity * (1.0 - RELATIVE_SLACK))
        if not self.may_release:
            wanted = np.fmax(wanted, state.counts)
        return view.answer(np.where(np.isfinite(load), wanted, state.counts))

    def _forecast(self, view: GridView, first: int, until: float) -> FloatArray:
        """(W,) middle of ln of the largest demand, from step `first` until a time in steps."""
        assert view.paths is not None
        stop = min(max(first + 1, math.ceil(until - 1e-9)), view.paths.shape[2])
        peaks = view.paths[:, :, first:stop].max(axis=2)
        return np.asarray(np.median(self._log(view, peaks), axis=1))

    def _log(self, view: GridView, load: FloatArray) -> FloatArray:
        """Logarithms of loads (W, ...)."""
        least = (LEAST_LOAD_SHARE * view.capacity).reshape(-1, *(1,) * (load.ndim - 1))
        return np.asarray(np.log(np.maximum(load, least)))


def _measured(view: GridView, state: FastState) -> FastState:
    """Add up what the last sub-step was out of SLA."""
    if view.last_violation is None or state.out is None or state.n_known is None:
        return state
    is_known = np.isfinite(view.last_violation)
    out = state.out + np.where(is_known, view.last_violation, 0.0)
    return replace(state, out=out, n_known=state.n_known + is_known)
