"""Cost and violations of the model's counts and of a trailing percentile's, by blocks of steps.

Costs are compared at matched violation: the loss of a step is

    replicas asked for  +  price * share of the step out of SLA

and the price is the one that the promise implies for the incumbent. Over the settings of the
trailing percentile, the lower convex hull of (violation rate, cost) is a decreasing frontier; the
price is minus its slope where the rate is epsilon, so that the incumbent itself, minimising the
loss, would keep the promise and no more.

The slope is undefined where the frontier does not reach epsilon from both sides. Then the price is
`scale / epsilon`, what exponential tails imply (`cost = a - scale * log(rate)`), with the mean
change of the replicas needed over a lead time, at least one, for the scale; no less than the
steepest slope where every setting breaks the promise, no more than the flattest where every setting
keeps it. A frontier of few days is rough: any price stays within a factor of ten of that one.

Setting and price for a block come from the steps before it alone. Shapes: T steps, R settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from decider.belief.capacity import replicas_needed
from decider.config import FallbackConfig, TrailingRule
from decider.errors import require
from decider.planning.ledgers import promise_of_steps
from decider.tables.soft_response import Soft
from decider.trust.arms import beyond_edge, by_response, trailing_counts, violation_ratio
from decider.types import BoolArray, FloatArray, Sla

MAX_PRICE_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class BlockConfig:
    """Blocks that past steps are cut into.

    Attributes:
        block_s: Length of a block: a day, so that the time of day does not tell blocks apart.
        min_steps: Steps that a block must hold; with longer steps it spans several days.
        min_known_ratio: Share of a block's steps that must be comparable for the block to count.
        n_first: Blocks that are never scored: the first setting and price come from them.
    """

    block_s: float = 86400.0
    min_steps: int = 96
    min_known_ratio: float = 0.5
    n_first: int = 2

    def length_s(self, step_s: float) -> float:
        """Length of a block in seconds, whole multiples of `block_s`."""
        return self.block_s * max(1, math.ceil(self.min_steps * step_s / self.block_s - 1e-9))


@dataclass(frozen=True, slots=True, eq=False)
class TrustCase:
    """The past of one workload.

    Attributes:
        start_s: Start of the first step, epoch seconds.
        step_s: Step length.
        demand: (T,) demand; NaN where it is unknown.
        model_replicas: (T,) unguarded count that the decision in force at the start of each step
            took from the forecast, whether or not it answered; NaN where no forecast could be
            planned with, or the last decision had run out.
        capacity: Load of one replica.
        lead_s: Lead time, taken as fixed.
        bounds: Least and most replicas; they hold both arms.
        sla: The promise; its epsilon must be given.
        response: What load does to requests, under that promise; None: it is not known, and a step
            is out of SLA where the demand exceeds the capacity of what serves.
    """

    start_s: float
    step_s: float
    demand: FloatArray
    model_replicas: FloatArray
    capacity: float
    lead_s: float
    bounds: tuple[int, int]
    sla: Sla
    response: Soft | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        is_series = self.demand.ndim == 1 and self.demand.size >= 1
        require(is_series, f"demand has shape {self.demand.shape}, must be (T,) with T >= 1")
        require(
            self.model_replicas.shape == self.demand.shape,
            f"model_replicas {self.model_replicas.shape}, demand {self.demand.shape}: (T,)",
        )
        require(self.step_s > 0, f"step_s={self.step_s} must be > 0")
        require(self.lead_s >= 0, f"lead_s={self.lead_s} must be >= 0")
        require(self.capacity > 0, f"capacity={self.capacity} must be > 0")
        require(self.sla.epsilon is not None, "sla.epsilon is None: no promise implies a price")

    @property
    def rate(self) -> float:
        """Violation rate of a step that the promise allows."""
        return promise_of_steps(self.sla, self.step_s).epsilon or 0.0


@dataclass(frozen=True, slots=True)
class ArmScore:
    """Means over steps: replicas asked for, and the share out of SLA."""

    replicas: float
    violation: float

    def loss(self, price: float) -> float:
        """Loss per step at a price in replica-steps per step out of SLA."""
        return self.replicas + price * self.violation


@dataclass(frozen=True, slots=True)
class BlockScore:
    """Both arms over one block.

    Attributes:
        end_s: End of the block, epoch seconds.
        n_steps: Steps compared.
        price: Price of a step out of SLA, in replica-steps.
        model: The model's arm.
        trailing: The trailing percentile's.
    """

    end_s: float
    n_steps: int
    price: float
    model: ArmScore
    trailing: ArmScore

    @property
    def difference(self) -> float:
        """Difference of the losses over their sum, in [-1, 1]; above 0 the model is worse."""
        own, other = self.model.loss(self.price), self.trailing.loss(self.price)
        return (own - other) / (own + other) if own + other > 0 else 0.0


@dataclass(frozen=True, slots=True)
class ArmComparison:
    """Blocks in time order, and the trailing percentile's setting chosen on all of them.

    Attributes:
        blocks: Scored blocks.
        n_usable: Blocks with enough comparable steps, the first ones included.
        rule: Setting to answer with; None where no step is comparable.
    """

    blocks: tuple[BlockScore, ...]
    n_usable: int
    rule: TrailingRule | None


@dataclass(frozen=True, slots=True)
class _Arms:
    """Counts and violations of R settings, the model in row 0, and what is comparable."""

    counts: FloatArray
    violation: FloatArray
    weight: FloatArray
    is_known: BoolArray
    need: FloatArray

    def scores(self, mask: BoolArray) -> list[ArmScore]:
        """Of each row, over the steps of `mask`."""
        weight = self.weight[mask]
        counts, violation = (np.compress(mask, a, axis=1) for a in (self.counts, self.violation))
        out = (violation * weight).sum(axis=1) / max(weight.sum(), 1e-300)
        return list(map(ArmScore, counts.mean(axis=1).tolist(), out.tolist()))


def compare_arms(
    case: TrustCase,
    rules: tuple[TrailingRule, ...],
    fallback: FallbackConfig,
    config: BlockConfig,
) -> ArmComparison:
    """Score both arms block by block, walking forward.

    Args:
        case: The past.
        rules: Settings of the trailing percentile to choose from.
        fallback: What the ladder calls stale.
        config: How steps are cut into blocks.
    """
    arms = _arms(case, rules, fallback)
    length_s = config.length_s(case.step_s)
    at_s = case.start_s + np.arange(case.demand.size) * case.step_s
    block = np.floor(at_s / length_s + 1e-9).astype(np.int64)
    expected = length_s / case.step_s
    usable = []
    for key in np.unique(block):
        mask = block == key
        is_whole = mask.sum() >= math.floor(expected + 1e-9)
        known = mask & arms.is_known
        if is_whole and known.sum() >= config.min_known_ratio * expected:
            usable.append((int(key), known))
    scored = []
    for key, mask in usable[config.n_first :]:
        before = arms.is_known & (block < key)
        price, setting = _choose(case, arms, before)
        model, *others = arms.scores(mask)
        n_steps, end_s = int(mask.sum()), (key + 1) * length_s
        scored.append(BlockScore(end_s, n_steps, price, model, others[setting]))
    rule = rules[_choose(case, arms, arms.is_known)[1]] if arms.is_known.any() else None
    return ArmComparison(tuple(scored), len(usable), rule)


def _arms(case: TrustCase, rules: tuple[TrailingRule, ...], fallback: FallbackConfig) -> _Arms:
    known = np.where(np.isfinite(case.demand) & (case.demand >= 0), case.demand, np.nan)
    need = replicas_needed(known, np.asarray(case.capacity))
    trailing = trailing_counts(known, case.capacity, rules, case.step_s, fallback)
    counts = np.clip(np.concatenate([case.model_replicas[None], trailing]), *case.bounds)
    response = case.response
    missed = beyond_edge(need) if response is None else by_response(known, response)
    violation = violation_ratio(counts, missed, case.lead_s / case.step_s)
    by_demand = case.sla.kind == "DemandFraction"
    weight = known if by_demand else np.ones(known.size)
    is_known = np.asarray(np.isfinite(violation).all(axis=0))
    return _Arms(counts, violation, weight, is_known, need)


def _choose(case: TrustCase, arms: _Arms, mask: BoolArray) -> tuple[float, int]:
    """Price, and the trailing percentile's setting, from the steps of `mask` alone."""
    scores = arms.scores(mask)[1:]
    n_lead = math.floor(case.lead_s / case.step_s + 1e-9) + 1
    change = np.abs(arms.need[n_lead:] - arms.need[:-n_lead])
    change = change[mask[n_lead:] & np.isfinite(change)]
    scale = max(1.0, float(change.mean())) if change.size else 1.0
    return implied_price(scores, case.rate, scale)


def implied_price(frontier: Sequence[ArmScore], rate: float, scale: float) -> tuple[float, int]:
    """Price of a step out of SLA that a promised rate implies on a frontier of settings.

    Args:
        frontier: (R,) scores of the settings.
        rate: Promised rate in (0, 1).
        scale: Scale of the tails in replicas, for where the slope is undefined.

    Returns:
        The price in replica-steps per step out of SLA, and the setting with the least loss at it:
        the dearest vertex of the hull that keeps the promise, or the safest where none does.
    """
    hull = _hull(frontier)
    slopes = [_slope(frontier[a], frontier[b]) for a, b in pairwise(hull)]
    within = [i for i, at in enumerate(hull) if frontier[at].violation <= rate]
    tail = scale / rate
    if not within:
        price, vertex = max([tail, *slopes[:1]]), 0
    elif within[-1] == len(hull) - 1:
        price, vertex = min([tail, *slopes[-1:]]), len(hull) - 1
    else:
        price, vertex = slopes[within[-1]], within[-1]
    return min(max(price, tail / MAX_PRICE_FACTOR), tail * MAX_PRICE_FACTOR), hull[vertex]


def _slope(safe: ArmScore, cheap: ArmScore) -> float:
    """Replicas saved per step out of SLA taken."""
    return (safe.replicas - cheap.replicas) / (cheap.violation - safe.violation)


def _hull(frontier: Sequence[ArmScore]) -> list[int]:
    """Vertices of the lower convex hull that no other setting beats in both, safest first."""
    order = sorted(
        range(len(frontier)), key=lambda i: (frontier[i].violation, frontier[i].replicas, i)
    )
    hull: list[int] = []
    for i in order:
        if hull and frontier[i].replicas >= frontier[hull[-1]].replicas:
            continue
        while len(hull) >= 2 and _slope(frontier[hull[-2]], frontier[hull[-1]]) <= _slope(
            frontier[hull[-1]], frontier[i]
        ):
            hull.pop()
        hull.append(i)
    return hull
