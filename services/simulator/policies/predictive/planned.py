"""Harmony's planner at G fixed prices of risk, over a grid: what a forecast allows at each price.

It is the planner that `decider.decide_shard` runs, without guards, feedback and explanation (a test
holds the counts equal). The tables of what a count risks are made once per workload and shared by
all settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np

from decider.config import DecideConfig
from decider.planning.exact import exact_rows, need_range, spreading_of, tables_of
from decider.planning.fallback import FORECAST, Standing
from decider.planning.plan import Program, first_of_plan, solve
from decider.planning.prepared import PreparedShard, settled_grid
from decider.tables.candidates import CandidateGrid, candidate_range
from decider.tables.landing import landing_weights
from decider.tables.scenarios import make_scenarios, stage_tables
from decider.types import Hardware, IntArray, Limits, ReplicaState, ShardRequest, Sla, WorkloadInput
from services.simulator.policies.grid import FloatArray, GridView, Knob, count_settings
from services.simulator.policies.predictive.known_laws import LawsByTime

DAY_S = 86_400.0
FRESH = Standing(FORECAST, "", 0, 0.0, None)


@dataclass(frozen=True, slots=True)
class PlannedGrid:
    """The least cost at a price of risk, one price for the whole fleet.

    Attributes:
        risk_price: Price of a step out of SLA, in steps of the workload's mean replicas.
        lead_time_s: (P,) draws of the lead time, or (W, P).
        config: Settings of the planner.
        horizon: Forecast steps used.
        capacity_draws: (P,) draws of true over stated capacity, or (W, P).
        mean_window_s: Window of the mean that the price refers to.
        laws: Quantile functions that are integrated, as the service does where it knows them; None:
            the sample paths are all that is known.
        name: Name in tables.
    """

    risk_price: Knob
    lead_time_s: FloatArray
    config: DecideConfig = field(default_factory=DecideConfig)
    horizon: int = 12
    capacity_draws: FloatArray = field(default_factory=lambda: np.ones(1))
    mean_window_s: float = 3 * DAY_S
    laws: LawsByTime | None = None
    name: str = "harmony"

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.risk_price)

    def label(self, setting: int) -> str:
        """The price."""
        return f"price of risk {np.atleast_1d(self.risk_price)[setting]:.4g}"

    def initial_state(self) -> None:
        """It has no memory."""
        return

    def decide(self, view: GridView, state: None) -> tuple[FloatArray, None]:
        """The first count of each plan; a workload without a usable forecast holds."""
        if view.paths is None:
            return view.answer(np.full(view.shape, np.nan)), None
        paths = np.asarray(view.paths[:, :, : self.horizon], dtype=float)
        is_usable = np.asarray((np.isfinite(paths) & (paths >= 0)).all(axis=(1, 2)))
        paths = np.where(is_usable[:, None, None], paths, 0.0)
        program = self._program(view, paths)
        multiplier = self.multiplier(view)
        plan = solve(program, multiplier.ravel())
        rows = np.arange(multiplier.size)
        counts = program.grid.counts[rows, plan.index[:, 0]].reshape(view.shape)
        wide = np.flatnonzero(program.grid.is_uneven.reshape(view.shape).any(axis=0))
        if wide.size:
            counts[:, wide] = self._wide_counts(view, paths, wide)
        floor = self._floor(view)
        # of a demand that is stale nobody knows what fewer replicas must absorb (decision 0147)
        is_stale = np.isfinite(view.demand).any(axis=1) & ~np.isfinite(floor)
        least = np.where(is_stale, view.replicas, floor)
        wanted = np.where(is_usable, np.fmax(counts, least), np.nan)
        return view.answer(wanted), None

    def multiplier(self, view: GridView) -> FloatArray:
        """(G, W) the price of risk in replica-steps per step out of SLA."""
        prices = np.broadcast_to(np.atleast_1d(self.risk_price), (view.shape[0],))
        return np.asarray(prices[:, None] * np.maximum(self._mean_replicas(view), 1.0))

    def _floor(self, view: GridView) -> FloatArray:
        """(W,) replicas that hold the newest demand that is not stale; NaN: none is known."""
        n_steps = 1 + int(max(self.config.fallback.stale_after_s, view.step_s) // view.step_s)
        recent = view.demand[:, -n_steps:]
        if recent.shape[1] == 0:
            return np.full(view.shape[1], np.nan)
        is_known = np.isfinite(recent) & (recent >= 0)
        newest = recent.shape[1] - 1 - np.argmax(is_known[:, ::-1], axis=1)
        last = recent[np.arange(newest.size), newest]
        load = np.where(is_known.any(axis=1), last, np.nan) * self.config.reactive_floor_ratio
        # `decide_shard` sizes the floor for the mean of what it believes of the capacity
        return view.replicas_for(load / self.capacity_draws.mean(axis=-1))

    def _mean_replicas(self, view: GridView) -> FloatArray:
        """(W,) replicas that the mean demand of the last days needs."""
        n = max(1, int(self.mean_window_s // view.step_s))
        window = view.demand[:, -n:]
        known = np.isfinite(window)
        total = np.where(known, window, 0.0).sum(axis=1)
        return np.asarray(total / np.maximum(known.sum(axis=1), 1) / view.capacity)

    def _program(self, view: GridView, paths: FloatArray) -> Program:
        """The planning problem of all settings, one row per setting and workload."""
        config, (G, W) = self.config, view.shape
        shared = self._with_laws(view, self._request(view, self._widest(view), paths))
        exact = exact_rows(shared, [FRESH] * W, config)
        scenarios = make_scenarios(shared, paths, spreading_of(config))
        grid = candidate_range(
            shared.workloads,
            scenarios.need,
            config.max_candidates,
            is_unserved_dear=config.shortage_price_ratio > 1.0,
            need_range=need_range(exact, W),
        ).grid()
        steps = tables_of(scenarios, grid, exact)
        own = self._request(view, self._states(view), paths)
        tiled = grid.tiled(G)
        stages = stage_tables(
            own,
            tiled,
            landing_weights(own, np.zeros(G * W)),
            np.tile(steps.violation, (G, 1, 1)),
            np.tile(steps.shortage, (G, 1, 1)),
        )
        current = np.array([w.replicas.spec for w in own.workloads], dtype=np.int64)
        costs = config.change_costs(view.step_s)
        return Program(
            tiled,
            stages,
            current,
            config.shortage_price_ratio,
            costs.start,
            costs.stop,
        )

    def _wide_counts(self, view: GridView, paths: FloatArray, wide: IntArray) -> IntArray:
        """(G, N) first counts of the workloads (N,) whose range is wide.

        What is chosen decides what their candidates are: settings share no tables.
        """
        states, multiplier = self._states(view), self.multiplier(view)
        n, found = view.shape[1], []
        for g in range(view.shape[0]):
            own = self._request(view, states[g * n : (g + 1) * n], paths)
            own = self._with_laws(view, own).part(wide.tolist())
            whole = PreparedShard.of(own, [FRESH] * wide.size, self.config, {})
            planned = _FirstCounts(multiplier[g, wide])
            grid = settled_grid(whole, planned.of)
            found.append(planned.of(whole, grid, np.arange(wide.size)))
        return np.stack(found)

    def _with_laws(self, view: GridView, request: ShardRequest) -> ShardRequest:
        """The request with the quantile functions that are integrated, if there are any."""
        if self.laws is None:
            return request
        laws = self.laws.at(view.now_s)
        used = tuple(replace(one, values=one.values[:, : self.horizon]) for one in laws)
        return replace(request, quantiles=used)

    def _widest(self, view: GridView) -> list[ReplicaState]:
        """One state per workload that spans all settings' counts."""
        low = np.minimum(view.ready, view.replicas).min(axis=0)
        return [
            ReplicaState(int(top), int(bottom))
            for top, bottom in zip(view.replicas.max(axis=0), low, strict=True)
        ]

    def _states(self, view: GridView) -> list[ReplicaState]:
        """One state per setting and workload."""
        G, W = view.shape
        ages = np.zeros((G, W, 0)) if view.start_age_s is None else view.start_age_s
        known = np.isfinite(ages)
        return [
            ReplicaState(
                int(view.replicas[g, w]),
                int(view.ready[g, w]),
                tuple(ages[g, w, known[g, w]].tolist()) if ages.shape[2] else (),
            )
            for g in range(G)
            for w in range(W)
        ]

    def _request(
        self, view: GridView, states: list[ReplicaState], paths: FloatArray
    ) -> ShardRequest:
        W = view.shape[1]
        times = len(states) // W
        limits = [
            Limits(int(low), int(high))
            for low, high in zip(view.min_replicas, view.max_replicas, strict=True)
        ]
        inputs = tuple(
            WorkloadInput(str(i % W), state, limits[i % W], Sla(), Hardware("any"))
            for i, state in enumerate(states)
        )
        capacity = view.capacity[:, None] * self.capacity_draws
        lead_time_s = np.broadcast_to(self.lead_time_s, (W, self.lead_time_s.shape[-1]))
        return ShardRequest(
            inputs,
            # The rows of other settings are never read: the tables come from the shared request.
            np.broadcast_to(paths[:1], (W * times, *paths.shape[1:])) if times > 1 else paths,
            np.tile(capacity, (times, 1)),
            np.tile(lead_time_s, (times, 1)),
            view.step_s,
        )


@dataclass(slots=True)
class _FirstCounts:
    """First counts of plans at a price each; the last plan of all workloads is kept.

    The candidates that are settled on are mostly those of the last round.

    Attributes:
        price: (N,) of a step out of SLA, in replica-steps.
    """

    price: FloatArray
    _kept: tuple[CandidateGrid, IntArray] | None = None

    def of(self, part: PreparedShard, grid: CandidateGrid, rows: IntArray) -> IntArray:
        """(rows,) first counts of some of the workloads, among the grid's candidates."""
        is_whole = rows.size == self.price.size
        if is_whole and self._kept is not None and _is_same(grid, self._kept[0]):
            return self._kept[1]
        index = first_of_plan(part.program(grid, part.tables(grid)), self.price[rows])
        first = np.asarray(grid.counts[np.arange(rows.size), index])
        if is_whole:
            self._kept = grid, first
        return first


def _is_same(one: CandidateGrid, other: CandidateGrid) -> bool:
    """Check whether two grids have the same candidates."""
    names = (each.name for each in fields(CandidateGrid))
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
