"""Step tables without sampling: the laws of the demand, integrated over spread and capacity.

One demand with a sharp edge needs no joint paths but where a promise is about any step of a window:
what each step risks follows from its own law. With spread factors f about the mean m and a
capacity c,

    P(m + f * (D - m) > n * c)

is a mixture of the law at other places, and so is its expected excess. At demands in a row both are
running sums over the laws' knots (`decider.tables.demand_law.Pieces`), for all factors at once. A
known capacity makes the candidates themselves such a row; an uncertain one is averaged over by
reading between demands that are evenly spaced by their logarithm.

Shapes: R workloads, H horizon, K candidates, J demands in a row, C capacities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from decider.tables.candidates import CandidateGrid
from decider.tables.demand_law import DemandLaw, pieces_of
from decider.tables.scenarios import StepTables
from decider.types import BoolArray, FloatArray, IntArray

N_DEMANDS = 96
"""Demands at which laws are tabulated where the capacity is not known."""
CAPACITY_SHARES = np.array([1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 7, 7, 7, 6, 4]) / 64.0
"""Shares of the draws, the least first, whose means stand for them where there are more draws: at
small risks it is the least capacities that matter."""
ROWS_AT_ONCE = 32
"""Workloads integrated at a time: few enough for a processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class DemandRow:
    """Demands in a row, by workload.

    Attributes:
        origin: (R,) demand that places are counted from.
        unit: (R,) unit of places.
        places: (R, J) rising places of the demands: whole numbers from 0 on, or 0 and
            then such that their logarithms are evenly spaced.
        last: (R,) index of the last one that is read.
        growth: (R,) distance of the logarithms; None: places are whole numbers.
        is_uneven: (R,) whether some of the whole numbers are left out; None: nowhere.
    """

    origin: FloatArray
    unit: FloatArray
    places: FloatArray
    last: IntArray
    growth: FloatArray | None = None
    is_uneven: BoolArray | None = None

    def n_below(self, at: FloatArray) -> FloatArray:
        """(..., R, H, N) demands that lie below places (..., R, H, N), of those that are read."""
        most = (self.last + 1.0)[:, None, None]
        if self.growth is None:
            found = np.clip(np.ceil(at), 0.0, most)
            for row in () if self.is_uneven is None else np.flatnonzero(self.is_uneven):
                own = self.places[row, : self.last[row] + 1]
                found[..., row, :, :] = np.searchsorted(own, at[..., row, :, :])
            return found
        first = self.places[:, 1, None, None]
        log_at = np.log(np.maximum(at, first)) - np.log(first)
        n_passed = np.ceil(log_at / self.growth[:, None, None]) + 1.0
        return np.where(at > 0, np.minimum(n_passed, most), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Excess:
    """What lies above demands in a row.

    Attributes:
        above: (R, H, J) probability of more.
        excess: (R, H, J) expected demand beyond, in the unit of places.
    """

    above: FloatArray
    excess: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Integrand:
    """What the tables of R workloads are integrals of.

    Attributes:
        law: Laws of their demand.
        factors: (F,) spread factors, equally likely.
        capacity: (R, P) capacity draws.
        grid: Their candidates.
    """

    law: DemandLaw
    factors: FloatArray
    capacity: FloatArray
    grid: CandidateGrid

    def rows(self, some: IntArray) -> Integrand:
        """The same of some workloads."""
        law, grid = self.law.rows(some), self.grid.rows(some)
        return Integrand(law, self.factors, self.capacity[some], grid)


@dataclass(frozen=True, slots=True, eq=False)
class Integrals:
    """What comes above the candidates.

    Attributes:
        above: (R, H, K) probability of a demand above.
        excess: (R, H, K) expected demand that is not served.
        demand_above: (R, H, K) expected demand of the times when it is above.
    """

    above: FloatArray
    excess: FloatArray
    demand_above: FloatArray


def exact_tables(of: Integrand, is_by_demand: BoolArray) -> StepTables:
    """Step tables of R workloads.

    Args:
        of: What is integrated.
        is_by_demand: (R,) promises of requests; `unmet` of the others is NaN: nobody reads it.
    """
    n, horizon = of.law.mean.shape
    violation, shortage = (np.empty((n, horizon, of.grid.counts.shape[1])) for _ in range(2))
    unmet = np.full_like(violation, np.nan)
    kind = 2 * (np.ptp(of.capacity, axis=1) == 0) + is_by_demand
    for one in np.unique(kind):
        rows = np.flatnonzero(kind == one)
        for first in range(0, rows.size, ROWS_AT_ONCE):
            some = rows[first : first + ROWS_AT_ONCE]
            part, is_weighed = of.rows(some), bool(one % 2)
            found = _known(part) if one >= 2 else _mixed(part, is_weighed=is_weighed)
            above = np.minimum(found.above, 1.0)
            violation[some] = _falling(above)
            shortage[some] = _falling(found.excess / part.capacity.mean(axis=1)[:, None, None])
            if is_weighed:
                unmet[some] = _weighed(part, found.demand_above)
    return StepTables(violation, unmet, shortage)


def _falling(values: FloatArray) -> FloatArray:
    """(R, H, K) table, never negative and falling in the count to the last bit."""
    return np.asarray(np.minimum.accumulate(np.maximum(values, 0.0), axis=2))


def _weighed(of: Integrand, demand_above: FloatArray) -> FloatArray:
    """(R, H, K) demand above, over the horizon's mean."""
    mean = _over_nothing(of).excess[:, :, 0].mean(axis=1)
    return _falling(demand_above / np.maximum(mean, 1e-300)[:, None, None])


def _over_nothing(of: Integrand) -> Excess:
    """What lies above no demand at all, J = 1."""
    n = of.law.mean.shape[0]
    first = np.zeros(n, dtype=np.int64)
    row = DemandRow(np.zeros(n), np.ones(n), np.zeros((n, 1)), first)
    return excess_over(of.law, of.factors, row)


def _known(of: Integrand) -> Integrals:
    """Integrals where the capacities are known."""
    grid, one = of.grid, of.capacity[:, 0]
    places = np.broadcast_to(np.arange(float(grid.counts.shape[1])), grid.counts.shape)
    if grid.is_uneven.any():
        apart = (grid.counts - grid.low[:, None]).astype(float)
        places = np.where(grid.is_uneven[:, None], apart, places)
    row = DemandRow(grid.low * one, grid.stride * one, places, grid.last, None, grid.is_uneven)
    found = excess_over(of.law, of.factors, row)
    excess = found.excess * row.unit[:, None, None]
    served = (grid.counts * one[:, None])[:, None, :]
    return Integrals(found.above, excess, excess + served * found.above)


def _mixed(of: Integrand, *, is_weighed: bool) -> Integrals:
    """Integrals averaged over capacities.

    Args:
        of: What is integrated.
        is_weighed: The demand above is asked for.
    """
    n, size = of.grid.counts.shape
    capacities = FewerDraws.of(of.capacity)
    row = _demands_of(of.grid, capacities)
    found = excess_over(of.law, of.factors, row)
    horizon = found.excess.shape[1]
    tables = np.empty((n, N_DEMANDS, 3 if is_weighed else 2, horizon))
    above, excess, *weighed = (tables[:, :, i].transpose(0, 2, 1) for i in range(tables.shape[2]))
    above[:] = found.above[:, :, 1:]
    np.multiply(found.excess[:, :, 1:], row.unit[:, None, None], out=excess)
    for one in weighed:
        one[:] = excess + (row.unit[:, None] * row.places[:, 1:])[:, None, :] * above
    read = _reader(of.grid, capacities, row) @ tables.reshape(n * N_DEMANDS, -1)
    values = np.ascontiguousarray(read.reshape(n, size, -1, horizon).transpose(2, 0, 3, 1))
    none = np.flatnonzero(of.grid.low == 0)  # no replicas: no capacity to average over
    values[0, none, :, 0] = found.above[none, :, 0]
    for table in values[1:]:
        table[none, :, 0] = found.excess[none, :, 0] * row.unit[none, None]
    return Integrals(values[0], values[1], values[-1])


def _demands_of(grid: CandidateGrid, capacities: FewerDraws) -> DemandRow:
    """No demand, and demands that all candidates but none lie between."""
    n = grid.low.size
    top = np.maximum(grid.top, 2)
    low = np.maximum(grid.low, 1) * capacities.values[:, 0]
    growth = np.log(top * capacities.values[:, -1] / low) / (N_DEMANDS - 1)
    places = np.exp(growth[:, None] * (np.arange(N_DEMANDS + 1) - 1.0))
    places[:, 0] = 0.0
    return DemandRow(np.zeros(n), low, places, np.full(n, N_DEMANDS), growth)


@dataclass(frozen=True, slots=True, eq=False)
class FewerDraws:
    """Capacities that stand for draws.

    Attributes:
        values: (R, C) ascending.
        probability: (C,) how likely each is.
    """

    values: FloatArray
    probability: FloatArray

    @classmethod
    def of(cls, capacity: FloatArray) -> FewerDraws:
        """Means of shares of the draws (R, P); the draws themselves where there are few."""
        draws = np.sort(capacity, axis=1)
        n_draws = draws.shape[1]
        if n_draws <= CAPACITY_SHARES.size:
            return cls(draws, np.full(n_draws, 1.0 / n_draws))
        edges = np.concatenate([[0.0], np.cumsum(CAPACITY_SHARES)]) * n_draws
        total = np.concatenate([np.zeros((draws.shape[0], 1)), np.cumsum(draws, axis=1)], axis=1)
        whole = np.minimum(edges.astype(np.int64), n_draws - 1)
        until = total[:, whole] + (edges - whole) * draws[:, whole]
        return cls(np.diff(until, axis=1) / (CAPACITY_SHARES * n_draws), CAPACITY_SHARES)


def _reader(grid: CandidateGrid, capacities: FewerDraws, row: DemandRow) -> csr_matrix:
    """(R * K, R * J) matrix that reads tables at candidates times capacities, and averages."""
    assert row.growth is not None, "capacities are averaged over by logarithms"
    n, n_draws = capacities.values.shape
    counts = np.clip(grid.counts, 1, grid.top[:, None])
    log_demand = np.log(counts)[:, :, None] + np.log(capacities.values / row.unit[:, None])[:, None]
    at = log_demand / row.growth[:, None, None]
    left = np.clip(at.astype(np.int64), 0, N_DEMANDS - 2)
    # Tables are straight between demands, not between their logarithms.
    share = np.clip(np.expm1((at - left) * row.growth[:, None, None]), 0.0, None)
    share = np.minimum(share / np.expm1(row.growth)[:, None, None], 1.0)
    index = left + N_DEMANDS * np.arange(n)[:, None, None]
    data = (np.stack([1.0 - share, share], axis=-1) * capacities.probability[:, None]).ravel()
    columns = np.stack([index, index + 1], axis=-1).ravel()
    starts = np.arange(0, columns.size + 1, 2 * n_draws)
    return csr_matrix((data, columns, starts), shape=(counts.size, n * N_DEMANDS))


def excess_over(law: DemandLaw, factors: FloatArray, row: DemandRow) -> Excess:
    """What lies above demands in a row, mixed over spread factors.

    Args:
        law: Laws of R workloads.
        factors: (F,) spread factors about the means, equally likely.
        row: The demands.
    """
    n, horizon, _ = law.knots.shape
    size = row.places.shape[1]
    pieces = pieces_of(law, row.origin, row.unit)
    middle = ((law.mean - row.origin[:, None]) / row.unit[:, None])[:, :, None]
    away = pieces.knots - middle
    cell = ((size + 1) * np.arange(n * horizon)).reshape(n, horizon, 1)
    spread = factors[:, None, None, None]
    at = middle + spread * away
    weight = pieces.jump / (spread * factors.size)
    flat = (row.n_below(at).astype(np.int64) + cell).ravel()
    total = n * horizon * (size + 1)
    sums = []
    for power in range(3):
        sums.append(np.bincount(flat, weight.ravel(), minlength=total))
        if power < 2:
            weight *= at
    # From the top down, so that where nothing lies above the sum is exactly zero.
    tables = (one.reshape(n, horizon, size + 1)[:, :, :0:-1] for one in sums)
    zeroth, first, second = (np.cumsum(one, axis=2)[:, :, ::-1] for one in tables)
    places = row.places[:, None, :]
    above = first - zeroth * places
    return Excess(above, 0.5 * (second - places * (first + above)))
