"""Which workloads are integrated, and what their tables are built from.

A workload whose quantile function is known, with one demand and a sharp edge, is decided by the
law itself: the luck of a few hundred sample paths then has no part in its count. Whoever needs the
joint law (further loads, a promise about any step of a window) or has a learned response is
decided by paths.

Shapes: W workloads, R of them that are integrated, H horizon, K candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.belief.capacity import replicas_needed
from decider.config import DecideConfig
from decider.planning.fallback import Standing
from decider.step_quantiles import StepQuantiles
from decider.tables.candidates import BODY_SHARES, CandidateGrid, NeedRange
from decider.tables.demand_law import DemandLaw
from decider.tables.exact_tables import Integrand, exact_tables
from decider.tables.pairing import Spreading
from decider.tables.scenarios import Scenarios, StepTables, step_tables
from decider.types import BoolArray, FloatArray, IntArray, ShardRequest

MOST_TOP_RISK = 1e-3
"""Risk at the top of the candidates, where the promise is wide or there is none."""
CLOSE = 48.0
"""Replicas between the ends within which all is taken to be mostly needed."""
BOTTOM_RISK = 1e-3
"""Probability that the least candidate is enough in some step."""


@dataclass(frozen=True, slots=True, eq=False)
class ExactRows:
    """Workloads that are integrated.

    Attributes:
        rows: (R,) their rows.
        law: Laws of their demand.
        factors: (F,) spread factors, equally likely.
        capacity: (R, P) capacity draws.
        top_risk: (R,) risk that the top of the candidates is to keep.
        is_by_demand: (R,) promises of requests.
    """

    rows: IntArray
    law: DemandLaw
    factors: FloatArray
    capacity: FloatArray
    top_risk: FloatArray
    is_by_demand: BoolArray

    def tables(self, grid: CandidateGrid) -> StepTables:
        """Step tables at the candidates of the shard."""
        of = Integrand(self.law, self.factors, self.capacity, grid.rows(self.rows))
        return exact_tables(of, self.is_by_demand)


def integrated(request: ShardRequest, row: int) -> StepQuantiles | None:
    """Quantile function that the workload in `row` is decided by; None: it goes by paths."""
    steps, workload = request.steps(row), request.workloads[row]
    if steps is None or not steps.is_usable or workload.sla.kind == "AnyInWindow":
        return None
    is_plain = request.response(row) is None and not workload.further_capacity
    is_plain &= workload.pool is None  # pools go by joint paths
    return steps if is_plain else None


def spreading_of(config: DecideConfig) -> Spreading:
    """How paths are spread of who has no response."""
    return Spreading(config.n_pairs, config.spread_sigma, keeps_mean=config.revision > 1)


def exact_rows(
    request: ShardRequest, standings: Sequence[Standing], config: DecideConfig
) -> tuple[ExactRows, ...]:
    """Workloads that are integrated, those with the same levels together.

    Args:
        request: The shard.
        standings: Where each workload stands on the fallback ladder.
        config: Settings.
    """
    groups: dict[bytes, dict[int, StepQuantiles]] = {}
    for row, standing in enumerate(standings):
        steps = integrated(request, row) if standing.is_planned else None
        if steps is not None:
            of_levels = groups.setdefault(steps.levels.tobytes(), {})
            of_levels[row] = steps.aged(standing.age_steps)
    factors = np.unique(spreading_of(config).factors())
    least = config.risk.min_level_ratio
    found = []
    for group in groups.values():
        rows = np.array(list(group), dtype=np.int64)
        slas = [request.workloads[row].sla for row in group]
        risk = [min(least * (sla.epsilon or 1.0), MOST_TOP_RISK) for sla in slas]
        found.append(
            ExactRows(
                rows,
                DemandLaw.of(list(group.values())),
                factors,
                request.capacity_draws[rows],
                np.array(risk),
                np.array([sla.kind == "DemandFraction" for sla in slas]),
            )
        )
    return tuple(found)


def need_range(exact: Sequence[ExactRows], n: int) -> NeedRange | None:
    """Replicas between which the counts worth considering lie, by the laws alone.

    The widest spread factor and the extreme capacities bound them from outside.

    Args:
        exact: Workloads that are integrated.
        n: W.
    """
    if not exact:
        return None
    smallest, largest, body = (np.full(shape, np.nan) for shape in (n, n, (n, 2)))
    for one in exact:
        law, widest = one.law, float(one.factors.max())
        # Risks differ by workload: each is asked for once.
        high = np.empty(law.mean.shape)
        for risk in np.unique(one.top_risk):
            same = one.top_risk == risk
            high[same] = law.rows(np.flatnonzero(same)).exceeded_with(float(risk))
        low = law.exceeded_with(1.0 - BOTTOM_RISK)
        high = law.mean + widest * np.maximum(high - law.mean, 0.0)
        low = np.maximum(law.mean + widest * np.minimum(low - law.mean, 0.0), 0.0)
        largest[one.rows] = replicas_needed(high.max(axis=1), one.capacity.min(axis=1))
        smallest[one.rows] = replicas_needed(low.min(axis=1), one.capacity.max(axis=1))
        body[one.rows] = np.stack([smallest[one.rows], largest[one.rows]], axis=1)
        apart = np.flatnonzero(largest[one.rows] - smallest[one.rows] > CLOSE)
        if apart.size:
            some = law.rows(apart)
            low, high = (some.exceeded_with(1.0 - share) for share in BODY_SHARES)
            mostly = np.stack([low.min(axis=1), high.max(axis=1)], axis=1)
            capacity = one.capacity[apart].mean(axis=1, keepdims=True)
            body[one.rows[apart]] = replicas_needed(mostly, capacity)
    return NeedRange(smallest, largest, body)


def tables_of(
    scenarios: Scenarios, grid: CandidateGrid, exact: Sequence[ExactRows] = ()
) -> StepTables:
    """Step tables of a shard: integrated where that can be, else sums over scenarios."""
    if not exact:
        return step_tables(scenarios, grid)
    n, size = grid.counts.shape
    if len(exact) == 1 and exact[0].rows.size == n:
        return exact[0].tables(grid)
    done = np.concatenate([one.rows for one in exact])
    rest = np.setdiff1d(np.arange(n), done)
    parts = [(one.rows, one.tables(grid)) for one in exact]
    names = ("violation", "unmet", "shortage")
    tables = {name: np.empty((n, scenarios.need.shape[2], size)) for name in names}
    if rest.size:
        parts.append((rest, step_tables(scenarios.rows(rest), grid.rows(rest))))
    for rows, part in parts:
        for name, table in tables.items():
            table[rows] = getattr(part, name)
    return StepTables(**tables)
