"""A shard made ready to be planned: its scenarios, and tables of them on any grid of candidates.

Shapes: W workloads, S paths, H horizon, F further loads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from decider.config import DecideConfig
from decider.planning.exact import ExactRows, exact_rows, need_range, spreading_of, tables_of
from decider.planning.fallback import Standing
from decider.planning.plan import Program
from decider.planning.pool_risk import worth_of
from decider.planning.utility import step_risk
from decider.tables.backlog import with_backlog
from decider.tables.candidates import CandidateGrid, CandidateRange, candidate_range
from decider.tables.landing import LandingWeights, landing_weights, stuck_starts
from decider.tables.scenarios import Scenarios, StepTables, make_scenarios, stage_tables
from decider.tables.soft_response import Soft, soft_responses, top_need
from decider.tables.soft_tables import soften
from decider.types import FloatArray, IntArray, ShardRequest

MOST_ROUNDS = 8
"""Times that candidates are looked for around what is chosen: each goes most of what is left of the
way."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedShard:
    """What the tables of a shard are made of, whatever its candidates are.

    Attributes:
        request: The shard.
        standings: Where each workload stands on the fallback ladder.
        config: Settings.
        soft: By row, responses under their promise.
        scenarios: Demand and capacity.
        weights: Landing weights.
        exact: Workloads that are integrated.
        candidates: Counts worth considering.
    """

    request: ShardRequest
    standings: Sequence[Standing]
    config: DecideConfig
    soft: Mapping[int, Soft]
    scenarios: Scenarios
    weights: LandingWeights
    exact: tuple[ExactRows, ...]
    candidates: CandidateRange

    @classmethod
    def of(
        cls,
        request: ShardRequest,
        standings: Sequence[Standing],
        config: DecideConfig,
        known: Mapping[int, Soft] | None = None,
    ) -> PreparedShard:
        """Make a shard ready.

        Args:
            request: The shard.
            standings: Where each workload stands on the fallback ladder.
            config: Settings.
            known: By row, responses under their promise; None: they are made of the request.
        """
        soft = soft_responses(request) if known is None else dict(known)
        exact = exact_rows(request, standings, config)
        spreading = spreading_of(config)
        scenarios = make_scenarios(
            request,
            _usable_paths(request, standings),
            spreading,
            _usable_further(request, standings),
            replace(spreading, sigma=config.response_spread_sigma),
        )
        elapsed = np.array([s.elapsed_ratio for s in standings])
        weights = landing_weights(request, elapsed)
        scenarios = with_backlog(request, scenarios, weights, elapsed, config.max_backlog_steps)
        candidates = candidate_range(
            request.workloads,
            scenarios.need,
            config.max_candidates,
            is_unserved_dear=config.shortage_price_ratio > 1.0,
            top_need=top_need(soft, scenarios.demand),
            need_range=need_range(exact, len(request.workloads)),
        )
        candidates = replace(candidates, is_spaced_evenly=config.revision < 2)
        if config.revision > 3:
            stuck = stuck_starts(request)
            candidates = candidates.beside(stuck, is_bounded=config.revision > 4)
        return cls(request, standings, config, soft, scenarios, weights, exact, candidates)

    def part(self, rows: IntArray) -> PreparedShard:
        """Some workloads, made ready among themselves: pools with all of their service."""
        at = [int(row) for row in rows]
        known = {i: self.soft[row] for i, row in enumerate(at) if row in self.soft}
        standings = [self.standings[row] for row in at]
        return PreparedShard.of(self.request.part(at), standings, self.config, known)

    def tables(self, grid: CandidateGrid) -> StepTables:
        """Step tables at candidates."""
        steps = tables_of(self.scenarios, grid, self.exact)
        return soften(self.soft, self.scenarios, grid, steps)

    def program(self, grid: CandidateGrid, steps: StepTables) -> Program:
        """The planning problem on candidates with their step tables."""
        risk = step_risk(self.request, steps)
        costs = self.config.change_costs(self.request.step_s)
        return Program(
            grid,
            stage_tables(self.request, grid, self.weights, risk, steps.shortage),
            np.array([w.replicas.spec for w in self.request.workloads], dtype=np.int64),
            self.config.shortage_price_ratio,
            costs.start,
            costs.stop,
            worth_of(self.request),
        )


FirstOf = Callable[[PreparedShard, CandidateGrid, IntArray], IntArray]
"""(R,) first counts that are chosen on candidates, of the rows (R,) of a shard made ready."""


def settled_grid(whole: PreparedShard, first_of: FirstOf) -> CandidateGrid:
    """The candidates of a shard: of wide ranges those around the very count that is chosen.

    Where what is chosen lies among candidates that are far apart, others are made around it, until
    its neighbours are candidates too. Only workloads of wide ranges are planned for that, pools
    with all of their service: for all others nothing changes, and it costs nothing.

    Args:
        whole: The shard.
        first_of: Plans some of it.
    """
    is_wide, centre = whole.candidates.is_wide, whole.candidates.running[:, 0].copy()
    services = whole.request.services().values()
    asked = {int(row) for row in np.flatnonzero(is_wide)}
    for _ in range(MOST_ROUNDS):
        together = [pools for pools in services if asked & set(pools)]
        rows = np.array(sorted(asked.union(*together)), dtype=np.int64)
        if not rows.size:
            break
        part = whole.part(rows)
        grid = part.candidates.grid(centre[rows])
        first = first_of(part, grid, rows)
        moved = is_wide[rows] & ~grid.has_neighbours(first)
        centre[rows[moved]] = first[moved]
        asked = {int(row) for row in rows[moved]}
    return whole.candidates.grid(centre)


def _usable_paths(request: ShardRequest, standings: Sequence[Standing]) -> FloatArray:
    """(W, S, H) paths shifted by their age; zero where they cannot be planned with."""
    paths = np.asarray(request.paths, dtype=float)
    if all(s.is_planned and s.age_steps == 0 for s in standings):
        return paths
    paths = paths.copy()
    for row, standing in enumerate(standings):
        paths[row] = _usable(paths[row], standing)
    return paths


def _usable_further(request: ShardRequest, standings: Sequence[Standing]) -> dict[int, FloatArray]:
    """By row, (F, S, H) paths of the further loads, as `_usable_paths`."""
    given = ((row, request.further(row)) for row in range(len(standings)))
    return {row: _usable(f, standings[row]) for row, f in given if f is not None}


def _usable(paths: FloatArray, standing: Standing) -> FloatArray:
    """Paths (..., H) of one workload."""
    if not standing.is_planned:
        return np.zeros_like(paths)
    if standing.age_steps == 0:
        return paths
    kept = paths[..., standing.age_steps :]
    padding = np.repeat(kept[..., -1:], standing.age_steps, axis=-1)
    return np.concatenate([kept, padding], axis=-1)
