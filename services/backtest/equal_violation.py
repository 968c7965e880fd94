"""What the same share of time out of SLA costs under Harmony and under its best rival.

Rates and costs as deployed differ at once, and nobody can weigh one against the other. At equal
violation only the cost differs. Each policy is read off its own frontier, all of them with
hindsight: which setting reaches the rate is known only after the replay.

Time out of SLA has no depth: who gives up the peaks of a service is out of SLA as long as who is
one replica short. So it is told how much of the demand both leave unserved there, and what it costs
rivals to leave no more than Harmony.

Shapes: G settings, B blocks of the replay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from services.kernel.domain.figures import percentage
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies.rivals import HARMONY

if TYPE_CHECKING:  # it loads the forecaster, which a report has no need of
    from services.backtest.frontier import PolicyFrontier

MIN_RATE = 1e-5
"""A setting that violates less is as one that never does: its logarithm says nothing."""
ROUNDING = 1e-9
"""Sums of shares may be so far off."""
N_RESAMPLES = 400
LEAST_BLOCKS = 5
"""Of fewer blocks of a replay resamples are much alike: they would show an interval too narrow."""
INTERVAL = (0.05, 0.95)
REFERENCES = (HARMONY, "oracle")
"""Frontiers that are no rivals."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Demand that Harmony and its rival leave unserved at one share of time out of SLA.

    Attributes:
        own: Share that Harmony leaves.
        rival: Share that the rival leaves.
        equal_rival: The rival that is cheapest where it leaves no more than Harmony; None where
            none can.
        equal_ratio: Harmony's cost over its; None where there is none, or it costs nothing.
    """

    own: float
    rival: float
    equal_rival: str | None
    equal_ratio: float | None

    def sentence(self, rival: str) -> str:
        """In words, with the rival's name."""
        left = (
            f"Of the demand {rival} leaves {percentage(self.rival)} unserved there, "
            f"Harmony {percentage(self.own)}"
        )
        if self.equal_rival is None:
            return f"{left}; no setting of a rival leaves as little."
        if self.equal_ratio is None:
            return f"{left}; at equal unserved demand {self.equal_rival} costs nothing."
        change = f"{self.equal_ratio - 1.0:+.1%} against {self.equal_rival}"
        return f"{left}; at equal unserved demand Harmony costs {change}."

    def to_json(self) -> dict[str, Any]:
        """For the document of `--json`."""
        return {
            "harmony": round(self.own, 6),
            "rival": round(self.rival, 6),
            "equal_rival": self.equal_rival,
            "equal_cost_ratio": _rounded(self.equal_ratio),
        }


@dataclass(frozen=True, slots=True)
class EqualViolation:
    """Harmony and the best rival at one share of time out of SLA.

    Attributes:
        epsilon: The share.
        rival: The rival that is cheapest there; None where none reaches it.
        is_reached: Harmony reaches it.
        ratio: Harmony's cost over the rival's; None where one of both does not reach the share,
            or the rival costs nothing there, as where all its replicas are put away.
        low: Lower end of a 90 % interval of `ratio`, by resampled blocks of the replay; minus
            infinity where the rival misses the share in too many resamples, or the replay is too
            short for an interval.
        high: Its upper end; infinite where Harmony misses the share in too many, or the replay is
            too short.
        is_too_short: Fewer than `LEAST_BLOCKS` blocks of the replay tell anything.
        depth: Demand left unserved there; None: it is not known, or nobody is compared.
        own_usd: Harmony's cost in US dollars beside a rival that costs nothing; None: it costs
            something, or nobody is compared.
        is_free_at_times: The rival costs nothing in some resamples, and Harmony something: there
            the ratio has no end.
    """

    epsilon: float
    rival: str | None
    is_reached: bool
    ratio: float | None
    low: float | None
    high: float | None
    is_too_short: bool = False
    depth: Depth | None = None
    own_usd: float | None = None
    is_free_at_times: bool = False

    def sentence(self) -> str:
        """The comparison in words; nothing is claimed where the interval holds 1."""
        at = f"At equal violation ({percentage(self.epsilon)} of time out of SLA)"
        if self.own_usd is not None:
            return f"{at}: {self._beside_nothing(self.own_usd)}.{self._depth_words()}"
        if self.ratio is None or self.low is None or self.high is None:
            own = "Harmony reached it" if self.is_reached else "no setting of Harmony reached it"
            other = f"{self.rival} did" if self.rival else "no setting of a rival did"
            return f"{at}: {own}, {other}."
        between = f"90 % interval {_change(self.low)} to {self._high_words(self.high)}"
        if self.is_too_short:
            between = "the replay is too short for an interval"
        found = "no difference is shown"
        if self.high < 1.0:
            found = "Harmony is cheaper"
        if self.low > 1.0:
            found = "Harmony is dearer"
        said = f"{at} {found}: {self.ratio - 1.0:+.1%} against {self.rival} ({between})."
        return said + self._depth_words()

    def _beside_nothing(self, own_usd: float) -> str:
        """No ratio is claimed of a rival without cost."""
        if own_usd == 0.0:
            return f"neither Harmony nor {self.rival} costs anything"
        return f"{self.rival} costs nothing and Harmony {own_usd:,.2f} USD, so there is no ratio"

    def _high_words(self, high: float) -> str:
        if self.is_free_at_times and high == math.inf:
            return f"no end, as in resamples {self.rival} costs nothing"
        return _change(high)

    def _depth_words(self) -> str:
        return "" if self.depth is None else f" {self.depth.sentence(self.rival or '')}"

    def to_json(self) -> dict[str, Any]:
        """For the document of `--json`."""
        return {
            "epsilon": self.epsilon,
            "rival": self.rival,
            "cost_ratio": _rounded(self.ratio),
            "cost_ratio_low": _rounded(self.low),
            "cost_ratio_high": _rounded(self.high),
            "unserved": None if self.depth is None else self.depth.to_json(),
        }


def _change(ratio: float) -> str:
    """A ratio as a change; one without an end in words: Harmony or the rival misses the rate."""
    if math.isfinite(ratio):
        return f"{ratio - 1.0:+.1%}"
    return "a missed rate" if ratio > 0 else "a rate that the rival missed"


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


class Neighbours(NamedTuple):
    """Settings on either side of a rate on the Pareto front, and how far it is to the second.

    Attributes:
        reached: Number of the cheapest setting that reaches the rate.
        beyond: That of the next one, which does not; the same where there is none.
        share: Of the way to it, in [0, 1).
    """

    reached: int
    beyond: int
    share: float

    def read(self, values: FloatArray) -> float:
        """(G,) values of the settings, read off between both."""
        here, there = values[self.reached], values[self.beyond]
        return float(here + self.share * (there - here))


def neighbours(rate: FloatArray, cost: FloatArray, epsilon: float) -> Neighbours | None:
    """Between which settings a violation rate lies, by the law of `cost_at`; None: unreached."""
    known = np.flatnonzero(np.isfinite(rate) & np.isfinite(cost))
    order = known[np.lexsort((cost[known], rate[known]))]
    front = order[np.diff(np.minimum.accumulate(cost[order]), prepend=np.inf) < 0]
    n_reached = int((rate[front] <= epsilon * (1.0 + ROUNDING)).sum())
    if n_reached == 0:
        return None
    reached, beyond = front[n_reached - 1], front[min(n_reached, front.size - 1)]
    low, high = float(rate[reached]), float(rate[beyond])
    if epsilon <= low or high <= low:
        share = 0.0
    elif low < MIN_RATE:
        share = (epsilon - low) / (high - low)
    else:
        share = math.log(epsilon / low) / math.log(high / low)
    return Neighbours(int(reached), int(beyond), share)


def cost_at(rate: FloatArray, cost: FloatArray, epsilon: float) -> float:
    """Least cost at a violation rate; NaN where no setting reaches it.

    At the rate of a setting on the Pareto front: its cost. Between neighbours there: linear in the
    logarithm of the rate. Where the one that reaches the rate violates less than `MIN_RATE`, linear
    in the rate itself: what it costs to run each of both for a share of the time. A logarithm of
    nearly nothing would set the figure there. Where even the leanest setting violates less than
    asked, its cost. So a larger rate never costs more. A setting whose rate is not known reaches
    none.

    Args:
        rate: (G,) share of time out of SLA of each setting.
        cost: (G,) its cost.
        epsilon: The rate.
    """
    found = neighbours(rate, cost, epsilon)
    return float("nan") if found is None else found.read(cost)


def at_equal_violation(
    frontiers: Sequence[PolicyFrontier], epsilon: float, rng: np.random.Generator
) -> EqualViolation:
    """Compare Harmony with the rival that is cheapest at one rate.

    The interval resamples blocks of the replay, the same for both policies, with the rival picked
    on the whole replay. Blocks in which no setting of both costs or breaks anything, as where no
    replica runs, make no replay long enough for an interval.

    Args:
        frontiers: Harmony's and its rivals'.
        epsilon: Share of time out of SLA.
        rng: For the resamples.
    """
    own = next(one for one in frontiers if one.name == HARMONY)
    rivals = [one for one in frontiers if one.name not in REFERENCES]
    costs = {one.name: cost_at(one.rate, one.cost_usd, epsilon) for one in rivals}
    reached = {name: cost for name, cost in costs.items() if np.isfinite(cost)}
    best = min(reached, key=lambda name: reached[name], default=None)
    own_cost = cost_at(own.rate, own.cost_usd, epsilon)
    if not np.isfinite(own_cost):
        return EqualViolation(epsilon, best, False, None, None, None)
    if best is None:
        return EqualViolation(epsilon, None, True, None, None, None)
    rival = next(one for one in rivals if one.name == best)
    ratio, depth = _cost_ratio(own_cost, reached[best]), _depth(own, rival, rivals, epsilon)
    if ratio is None:
        return EqualViolation(epsilon, best, True, None, None, None, depth=depth, own_usd=own_cost)
    if _n_telling(own, rival) < LEAST_BLOCKS:
        return EqualViolation(epsilon, best, True, ratio, -math.inf, math.inf, True, depth)
    ratios, is_free = _resampled(own, rival, epsilon, rng)
    low, high = _end(ratios, INTERVAL[0], -math.inf), _end(ratios, INTERVAL[1], math.inf)
    return EqualViolation(
        epsilon, best, True, ratio, low, high, depth=depth, is_free_at_times=is_free
    )


def _cost_ratio(own_usd: float, rival_usd: float) -> float | None:
    """Harmony's cost over a rival's; None: the rival costs nothing."""
    return own_usd / rival_usd if rival_usd > 0.0 else None


def _n_telling(own: PolicyFrontier, rival: PolicyFrontier) -> int:
    """Blocks of the replay in which a setting of one of both costs or breaks something."""
    told = [
        (values > 0.0).any(axis=0)
        for one in (own, rival)
        for values in (one.block_rate, one.block_cost_usd)
    ]
    return int(np.logical_or.reduce(told).sum())


def _depth(
    own: PolicyFrontier, rival: PolicyFrontier, rivals: Sequence[PolicyFrontier], epsilon: float
) -> Depth | None:
    """What both leave unserved where they are compared; None: there is no demand."""
    ours, theirs = (neighbours(one.rate, one.cost_usd, epsilon) for one in (own, rival))
    if ours is None or theirs is None or not np.isfinite(own.unserved).all():
        return None
    left = ours.read(own.unserved)
    costs = {one.name: cost_at(one.unserved, one.cost_usd, left) for one in rivals}
    reached = {name: cost for name, cost in costs.items() if np.isfinite(cost)}
    name = min(reached, key=lambda one: reached[one], default=None)
    ratio = None if name is None else _cost_ratio(ours.read(own.cost_usd), reached[name])
    return Depth(left, theirs.read(rival.unserved), name, ratio)


def _end(ratios: FloatArray, share: float, missed: float) -> float:
    """An end of `INTERVAL`; `missed` where so many resamples missed the rate on that side."""
    at = share * (ratios.size - 1)
    near = np.sort(ratios)[[math.floor(at), math.ceil(at)]]
    if np.isfinite(near).all():
        return float(np.quantile(ratios, share))
    return missed if (near == missed).any() else -missed


def _resampled(
    own: PolicyFrontier, rival: PolicyFrontier, epsilon: float, rng: np.random.Generator
) -> tuple[FloatArray, bool]:
    """(N,) cost ratios; where Harmony misses the rate infinity, where the rival alone minus that.

    No cost is known of who misses: it is no saving of all that the other pays. Beside a rival that
    costs nothing a ratio is infinite, too. Where both cost nothing there is none, and such a
    resample is left out: N is then less than `N_RESAMPLES`.

    Returns:
        The ratios, and whether the rival alone costs nothing in one of the resamples.
    """
    n_blocks = own.block_rate.shape[1]
    found, is_free = np.empty(N_RESAMPLES), False
    for k in range(N_RESAMPLES):
        weight = np.bincount(rng.integers(0, n_blocks, n_blocks), minlength=n_blocks)
        ours, theirs = (
            cost_at(one.block_rate @ weight, one.block_cost_usd @ weight, epsilon)
            for one in (own, rival)
        )
        if np.isnan(ours) or np.isnan(theirs):
            found[k] = np.inf if np.isnan(ours) else -np.inf
        elif theirs > 0.0:
            found[k] = ours / theirs
        else:
            found[k] = np.inf if ours > 0.0 else np.nan
            is_free = is_free or ours > 0.0
    return found[~np.isnan(found)], is_free
