"""Recommendation of a promise, read off Harmony's frontier on the replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from services.backtest.frontier import PolicyFrontier
from services.kernel.errors import InvalidInput
from services.simulator.fleet.arrays import FloatArray, IntArray

MAX_PROMISE = 0.1
"""Nobody promises more: dearer or not, settings that violate more are left out."""
MIN_POINTS = 3


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A promise and what it costs on the replay.

    Attributes:
        epsilon: Share of time out of SLA to ask for.
        cost_usd: Cost of the replay at that rate.
        hours_out: Workload-hours out of SLA in it.
        rule: How it was chosen, in words.
    """

    epsilon: float
    cost_usd: float
    hours_out: float
    rule: str

    def to_json(self) -> dict[str, Any]:
        """For the document of `--json`."""
        return {
            "epsilon": self.epsilon,
            "cost_usd": round(self.cost_usd, 2),
            "hours_out_of_sla": round(self.hours_out, 4),
            "rule": self.rule,
        }


def check_price(shortage_usd: float | None) -> None:
    """Refuse a price of being short that is none.

    Raises:
        InvalidInput: It is not positive.
    """
    if shortage_usd is not None and not (np.isfinite(shortage_usd) and shortage_usd > 0):
        raise InvalidInput(f"--shortage-usd={shortage_usd}: must be a price above 0")


def recommend(
    frontier: PolicyFrontier, n_known: int, shortage_usd: float | None = None
) -> Recommendation | None:
    """The promise at the knee of a frontier, or the cheapest one at a price of being short.

    Without a price: between the safest and the leanest useful setting a dollar averts, on average,
    a certain share of the violations. The knee is where one more dollar stops averting that share:
    the point of the frontier that lies farthest below the chord of its ends.

    With a price, the setting of least cost of GPUs and of hours out of SLA together.

    Args:
        frontier: Harmony's.
        n_known: Workload-steps of the replay whose demand is known: no rate below one of them can
            be told from zero.
        shortage_usd: Price of a workload's hour out of SLA.

    Returns:
        None where fewer than three useful settings lie on the frontier.

    Raises:
        InvalidInput: The price is not positive.
    """
    check_price(shortage_usd)
    at = useful_front(frontier)
    if at.size < MIN_POINTS:
        return None
    if shortage_usd is None:
        pick = at[knee(frontier.rate[at], frontier.cost_usd[at])]
        rule = "knee of the frontier: one more dollar stops averting its share of violations"
    else:
        total = frontier.cost_usd[at] + shortage_usd * frontier.hours_out[at]
        pick = at[int(np.argmin(total))]
        rule = f"least cost of GPUs and of hours out of SLA at {shortage_usd:g} USD each"
    epsilon = float(f"{max(float(frontier.rate[pick]), 1.0 / n_known):.2g}")
    return Recommendation(
        epsilon, float(frontier.cost_usd[pick]), float(frontier.hours_out[pick]), rule
    )


def why_none(frontier: PolicyFrontier) -> str:
    """Why `recommend` finds too few settings, in words."""
    n_kept = int((frontier.rate <= MAX_PROMISE).sum())
    n_useful = useful_front(frontier).size
    if n_kept < MIN_POINTS:
        return f"too few settings keep the replay within {MAX_PROMISE * 100:g} %"
    return (
        f"this replay hardly tells settings apart. Of the {n_kept} that keep it within "
        f"{MAX_PROMISE * 100:g} %, all but {n_useful} cost no less than another and miss no less"
    )


def useful_front(frontier: PolicyFrontier) -> IntArray:
    """Settings that no other beats in both rate and cost and that a promise can mean, by rate."""
    order = np.lexsort((frontier.cost_usd, frontier.rate))
    best = np.minimum.accumulate(frontier.cost_usd[order])
    is_front = np.concatenate([[True], best[1:] < best[:-1]])
    at = order[is_front]
    return np.asarray(at[frontier.rate[at] <= MAX_PROMISE], dtype=np.int64)


def knee(rate: FloatArray, cost_usd: FloatArray) -> int:
    """Index of the point of a falling frontier that is farthest below the chord of its ends."""
    risk = (rate - rate[0]) / (rate[-1] - rate[0])
    saved = (cost_usd[0] - cost_usd) / (cost_usd[0] - cost_usd[-1])
    return int(np.argmax(saved - risk))
