"""Scenario tables of workloads with a response: what each count is expected to miss.

Where a response is known, load has no sharp edge. A promise of requests counts the expected share
that misses; one of time the probability that a step is bad (`decider.belief.misses`). Both fall as
replicas are added, never rise. Under a load x / k with draws (c, a) the share is

    1 / (1 + (x / c)**-a * k**a)

so a product of what the scenario says and what the count says. Only the marginals of steps enter:
where all draws are equal, permuting the paths within each step changes no sum but by rounding;
where they differ, it pairs loads with other draws, as it does with capacity draws.

Shapes: S scenarios, H horizon, K candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import expit

from decider.miss_draws import MissDraws
from decider.tables.bad_steps import N_CELLS, BadSteps, SingleArray
from decider.tables.candidates import CandidateGrid
from decider.tables.pairing import paired_draws
from decider.tables.scenarios import Scenarios, StepTables
from decider.tables.soft_response import Soft
from decider.types import FloatArray, IntArray

N_AT_ONCE = 200
"""Scenarios whose shares are held at once: few enough for a processor's cache."""
MOST_LOG_FACTOR = 32.0
"""Largest logarithm of a count's factor in single precision; a load's may be `MOST_LOG_LOAD`."""
MOST_LOG_LOAD = 54.0
MOST_CELLS = 2.0**19
"""Cells of a table of bad steps that a run of counts may span in single precision."""


def soften(
    soft: Mapping[int, Soft], scenarios: Scenarios, grid: CandidateGrid, steps: StepTables
) -> StepTables:
    """Step tables with the expectations of the workloads that have a response.

    `violation` is the expected share of a step's requests that miss, or the probability that the
    step is bad; `unmet` the same weighed by requests, in the unit that it has without a response.
    The shortage stays that of the sharp edge that stands for the response.
    """
    if not soft:
        return steps
    violation, unmet = steps.violation.copy(), steps.unmet.copy()
    for row, one in soft.items():
        size = int(grid.last[row]) + 1
        counts, requests = grid.counts[row, :size], scenarios.raw[row]
        sums = expected_risk(one, scenarios.demand[row], requests, counts)
        for table, values in zip((violation, unmet), sums, strict=True):
            table[row, :, :size] = np.minimum.accumulate(values, axis=1)
            table[row, :, size:] = table[row, :, size - 1 : size]
    return StepTables(violation, unmet, steps.shortage)


@dataclass(frozen=True, slots=True)
class _SomeScenarios:
    """Some scenarios of one workload.

    Attributes:
        log_use: (S, H) logarithm of demand over the draws' capacities; -inf without demand.
        slope: (S,) slopes.
        weight: (S, H) requests over their mean.
        index: (S,) classes of bad steps; empty for a promise of requests.
    """

    log_use: FloatArray
    slope: FloatArray
    weight: SingleArray
    index: IntArray


def expected_risk(
    soft: Soft, demand: FloatArray, requests: FloatArray, counts: IntArray
) -> tuple[FloatArray, FloatArray]:
    """(H, K) risk of one workload at counts (K,), plain and weighed by requests.

    Args:
        soft: Its response.
        demand: (S, H) equivalent demand.
        requests: (S, H) the demand itself.
        counts: (K,) candidates.
    """
    n, horizon = demand.shape
    picked = paired_draws(soft.draws.capacity.size, n)
    weight = (requests / max(float(requests.mean()), 1e-300)).astype(np.float32)
    with np.errstate(divide="ignore"):
        log_use = np.log(demand) - np.log(soft.draws.capacity[picked])[:, None]
    slope = soft.draws.slope[picked]
    index = picked if soft.bad is None else soft.index[picked]
    plain, weighted = (np.zeros((horizon, counts.size)) for _ in range(2))
    none = counts <= 0  # all is missed
    plain[:, none] = np.count_nonzero(demand > 0, axis=0)[:, None]
    weighted[:, none] = weight.sum(axis=0, dtype=float)[:, None]
    for columns in _columns(soft, slope, counts):
        log_counts = np.log(counts[columns])
        for first in range(0, n, N_AT_ONCE):
            at = slice(first, first + N_AT_ONCE)
            part = _SomeScenarios(log_use[at], slope[at], weight[at], index[at])
            bad = soft.bad
            shares = _missed(part, log_counts) if bad is None else _bad(bad, part, log_counts)
            plain[:, columns] += shares.sum(axis=0)
            weighted[:, columns] += np.einsum("shk,sh->hk", shares, part.weight)
    return plain / n, weighted / n


def missed_shares(draws: MissDraws, demand: FloatArray, replicas: int) -> FloatArray:
    """(S,) share of a step's requests that replicas could cure but do not, by scenario.

    Args:
        draws: The response.
        demand: (S,) equivalent demand of one step.
        replicas: Replicas that serve it.
    """
    if replicas <= 0:
        return (demand > 0).astype(float)
    picked = paired_draws(draws.capacity.size, demand.size)
    log_use = np.log(np.maximum(demand, 1e-300) / replicas) - np.log(draws.capacity[picked])
    return np.where(demand > 0, expit(draws.slope[picked] * log_use), 0.0)


def _columns(soft: Soft, slope: FloatArray, counts: IntArray) -> list[slice]:
    """Runs of counts above 0, each short enough that single precision holds it."""
    some = np.flatnonzero(counts > 0)
    if some.size == 0:
        return []
    span = 2.0 * MOST_LOG_FACTOR / float(slope.max())
    if soft.bad is not None:
        span = MOST_CELLS / float((soft.draws.slope / soft.bad.cell[soft.index]).max())
    run = np.floor(np.log(counts[some] / counts[some[0]]) / span)
    starts = some[1:][np.diff(run) > 0]
    edges = [int(some[0]), *(int(k) for k in starts), counts.size]
    return [slice(a, b) for a, b in pairwise(edges)]


def _missed(part: _SomeScenarios, log_counts: FloatArray) -> SingleArray:
    """(S, H, K) share of requests that miss."""
    middle = 0.5 * (log_counts[0] + log_counts[-1])
    away = -part.slope[:, None] * (part.log_use - middle)
    load = np.exp(np.clip(away, -MOST_LOG_LOAD, MOST_LOG_LOAD)).astype(np.float32)
    load[part.weight == 0] = np.inf  # no request, none missed
    count = np.exp(part.slope[:, None] * (log_counts - middle)).astype(np.float32)
    share = load[:, :, None] * count[:, None, :]
    share += np.float32(1.0)
    return np.asarray(np.divide(np.float32(1.0), share, out=share))


def _bad(bad: BadSteps, part: _SomeScenarios, log_counts: FloatArray) -> SingleArray:
    """(S, H, K) probability that the step is bad."""
    slope, cell = part.slope[:, None], bad.cell[part.index, None]
    load = (slope * (part.log_use - log_counts[0]) - bad.low[part.index, None]) / cell
    np.clip(load, -1.0, 4.0 * MOST_CELLS, out=load)
    count = slope * (log_counts - log_counts[0]) / cell
    at = load.astype(np.float32)[:, :, None] - count.astype(np.float32)[:, None, :]
    np.clip(at, np.float32(0.0), np.float32(N_CELLS - 1), out=at)
    flat = at.astype(np.int64)
    flat += (part.index * N_CELLS)[:, None, None]
    # The fastest mode: nothing is outside, so nothing is wrapped.
    return np.asarray(np.take(bad.values.reshape(-1), flat, mode="wrap"))
