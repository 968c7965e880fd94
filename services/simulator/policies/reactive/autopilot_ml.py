"""Autopilot's recommender that chooses among models by their past costs (EuroSys 2020).

[from memory] A model is a decay rate and a margin. Each model keeps the exponentially decayed cost
of its overruns (demand above its limit), underruns (limit above demand) and changes of limit. The
recommendation is the limit of the model with the least cost plus penalties for switching the model
and for changing the limit.

Our reading where the description is silent. Limits are whole replicas, and demand is the replicas
that it needs. Costs are amounts, in replicas per step: an overrun of three replicas costs three
times one of one. A model's own limit is the count with the least decayed cost of overrun and
underrun, left only for one that is better by more than the price of a change; its margin is added
after that. The sizes of the penalties are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, column, count_settings
from services.simulator.policies.history import NEVER_S, unseen_columns
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.view import IntArray

_SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class AutopilotMLState:
    """Memory of `AutopilotML`.

    Attributes:
        seen_until_s: End of the last step that was learned from.
        weight: (R, W, K) decayed number of steps that needed k replicas, per decay rate; the last
            k is the largest bound of the first view, and stands for all above it. None before the
            first decision.
        base: (G, R, W) limits of the decay rates before margins; NaN before the first.
        limit: (G, M, W) limits of the models, in replicas.
        cost: (G, M, W) decayed costs of the models, in replicas per step.
        model: (G, W) the model in force.
        published: (G, W) its limit.
    """

    seen_until_s: float = NEVER_S
    weight: FloatArray | None = None
    base: FloatArray | None = None
    limit: FloatArray | None = None
    cost: FloatArray | None = None
    model: IntArray | None = None
    published: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AutopilotML:
    """`n` = limit of the model with the least decayed cost.

    The whole history is learned from at the first decision; the costs of models count from then
    on. A step not observed changes nothing. A workload that was never observed holds.

    Attributes:
        overrun_weight: Cost of an overrun relative to an underrun of the same size (the knob): a
            model sits near the quantile `w / (w + 1)` of what its memory holds.
        change_weight: Price of changing a limit, in replicas.
        switch_weight: Price of switching the model, in replicas.
        half_lives_s: Half-lives of the models' memories.
        margins: Margins of the models, relative.
        cost_half_life_s: Half-life of the models' costs.
        name: Name in tables.
    """

    overrun_weight: Knob = 20.0
    change_weight: Knob = 0.05
    switch_weight: Knob = 0.05
    half_lives_s: tuple[float, ...] = (3600.0, 21_600.0, 86_400.0)
    margins: tuple[float, ...] = (0.0, 0.15, 0.4, 1.0)
    cost_half_life_s: float = 43_200.0
    name: str = "autopilot_ml"

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("overrun_weight", self.overrun_weight, 0.0)
        require_within("change_weight", self.change_weight, 0.0, is_low_open=False)
        require_within("switch_weight", self.switch_weight, 0.0, is_low_open=False)
        require_within("cost_half_life_s", self.cost_half_life_s, 0.0)
        if not self.half_lives_s or not self.margins:
            raise ValueError("half_lives_s and margins must hold at least one value each")
        require_within("half_lives_s", np.array(self.half_lives_s), 0.0)
        require_within("margins", np.array(self.margins), -1.0)
        _ = self.n_settings

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.overrun_weight, self.change_weight, self.switch_weight)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        n_models = len(self.half_lives_s) * len(self.margins)
        weight = knob_value(self.overrun_weight, setting)
        return f"{n_models} models, overrun costs {weight:.4g} underruns"

    def initial_state(self) -> AutopilotMLState:
        """Nothing seen."""
        return AutopilotMLState()

    def decide(
        self, view: GridView, state: AutopilotMLState
    ) -> tuple[FloatArray, AutopilotMLState]:
        """Replicas of the cheapest model."""
        G = view.shape[0]
        new = view.replicas_for(np.maximum(unseen_columns(view, state.seen_until_s).T, 0.0))
        weight = self._remember(view, state, new)
        base = self._base_limits(weight, state, G)
        factor = 1.0 + np.array(self.margins)
        limit = np.ceil(base[:, :, None, :] * factor[:, None] * (1.0 - _SLACK))
        limit = np.minimum(limit, view.max_replicas).reshape(G, -1, view.shape[1])
        cost = self._charge(view, state, new, limit)
        model = self._cheapest(state, cost, limit)
        published = np.take_along_axis(limit, model[:, None, :], axis=1)[:, 0]
        after = AutopilotMLState(view.now_s, weight, base, limit, cost, model, published)
        return view.answer(published), after

    def _remember(self, view: GridView, state: AutopilotMLState, new: FloatArray) -> FloatArray:
        """Decayed histograms (R, W, K) with the needs `new` (n, W) added, oldest first."""
        if state.weight is None:
            K = int(view.max_replicas.max()) + 1
            weight = np.zeros((len(self.half_lives_s), view.shape[1], K))
        else:
            weight = state.weight
            K = weight.shape[-1]
        step, workload = np.nonzero(np.isfinite(new))
        # age in known steps: a gap leaves the memory as it is
        n_known = np.cumsum(np.isfinite(new)[::-1], axis=0)[::-1]
        age = n_known[step, workload] - 1
        n_new = np.isfinite(new).sum(axis=0)
        slot = workload * K + np.minimum(new[step, workload], K - 1).astype(np.int64)
        rows = []
        for row, half_life_s in enumerate(self.half_lives_s):
            decay = np.exp2(-view.step_s / half_life_s)
            added = np.bincount(slot, decay**age, weight[row].size).reshape(weight[row].shape)
            rows.append(weight[row] * (decay**n_new)[:, None] + added)
        return np.stack(rows)

    def _base_limits(self, weight: FloatArray, state: AutopilotMLState, G: int) -> FloatArray:
        """(G, R, W) least-cost counts, with reluctance to leave the last ones."""
        total = weight.sum(axis=-1)
        share = np.divide(
            weight, total[..., None], out=np.zeros_like(weight), where=total[..., None] > 0
        )
        counts = np.arange(weight.shape[-1], dtype=float)
        below = np.cumsum(share, axis=-1)
        load_below = np.cumsum(share * counts, axis=-1)
        ratio = np.broadcast_to(np.atleast_1d(np.asarray(self.overrun_weight, dtype=float)), G)
        weights, which = np.unique(ratio, return_inverse=True)
        level = (weights / (weights + 1.0)) * (1.0 - _SLACK)
        best = (below < level[:, None, None, None]).sum(axis=-1)
        best = np.minimum(best, counts.size - 1)[which]
        wanted = np.where(total > 0, best.astype(float), np.nan)
        if state.base is None:
            return wanted

        def cost_of(limit: FloatArray) -> FloatArray:
            index = np.where(np.isnan(limit), 0, limit).astype(np.int64)
            rate, workload = np.indices(total.shape)
            under = limit * below[rate, workload, index] - load_below[rate, workload, index]
            over = load_below[..., -1] - limit + under
            charged: FloatArray = ratio[:, None, None] * over + under
            return charged

        gain = cost_of(state.base) - cost_of(wanted)
        price = np.broadcast_to(np.atleast_1d(np.asarray(self.change_weight, dtype=float)), G)
        is_kept = gain <= price[:, None, None]
        kept: FloatArray = np.where(is_kept, state.base, wanted)
        return kept

    def _charge(
        self, view: GridView, state: AutopilotMLState, new: FloatArray, limit: FloatArray
    ) -> FloatArray:
        """Decayed costs, with the last step charged to the limits that were in force."""
        if state.cost is None or state.limit is None:
            return np.zeros(limit.shape)
        cost = state.cost
        if new.shape[0] == 0:
            return cost
        rate = 1.0 - np.exp2(-view.step_s / self.cost_half_life_s)
        over = np.maximum(new[-1] - state.limit, 0.0)
        under = np.maximum(state.limit - new[-1], 0.0)
        has_changed = (limit != state.limit) & np.isfinite(state.limit)
        charged = (
            column(self.overrun_weight)[..., None] * over
            + under
            + column(self.change_weight)[..., None] * has_changed
        )
        decayed: FloatArray = np.where(
            np.isfinite(charged), (1.0 - rate) * cost + rate * charged, cost
        )
        return decayed

    def _cheapest(self, state: AutopilotMLState, cost: FloatArray, limit: FloatArray) -> IntArray:
        """(G, W) models of the least cost plus penalties; the first of equals."""
        if state.model is not None and state.published is not None:
            models = np.arange(cost.shape[1])[:, None]
            is_switch = models != state.model[:, None, :]
            is_change = (limit != state.published[:, None, :]) & np.isfinite(
                state.published[:, None, :]
            )
            cost = (
                cost
                + column(self.switch_weight)[..., None] * is_switch
                + column(self.change_weight)[..., None] * is_change
            )
        cheapest: IntArray = np.argmin(cost, axis=1)
        return cheapest
