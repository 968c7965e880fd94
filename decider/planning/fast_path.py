"""The fast path: what demand newer than a decision makes of its count.

A decision is a bet on a distribution of the demand: its count lies so many spreads above the
middle. Between two decisions newer demand moves the middle and narrows the spread, as far as it has
been the better witness so far, and the count keeps its place. So the risk that was chosen stays, at
every price and promise, and nothing has to be planned again.

How far is learned from what came of it: the errors of the forecast and of the newest demand, and
what they have in common. Where both miss for the same reason, noise that nobody foresees, the
newest demand adds nothing, and the count stays.

All in logarithms. Shapes: W workloads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from decider.types import BoolArray, FloatArray

MOST_SPREADS = 2.5
LEAST_WEIGHT = 30.0
"""Outcomes, with those forgotten taken off, before the newest demand is heard."""


class Witnesses(NamedTuple):
    """What is expected of `ln(load)`, (W,) each: by the forecast, and by the newest demand."""

    forecast: FloatArray
    newest: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class WitnessErrors:
    """Errors of both witnesses, older ones weighing less; arrays (W,).

    Attributes:
        weight: Sum of the weights.
        forecast: Mean error of the forecast.
        newest: Mean error of the newest demand.
        var_forecast: Variance of the first.
        var_newest: Variance of the second.
        covariance: Their covariance.
    """

    weight: FloatArray
    forecast: FloatArray
    newest: FloatArray
    var_forecast: FloatArray
    var_newest: FloatArray
    covariance: FloatArray

    @classmethod
    def none(cls, n_workloads: int) -> WitnessErrors:
        """Nothing has come of anything yet."""
        return cls(*(np.zeros(n_workloads) for _ in range(6)))

    def learned(self, said: Witnesses, outcome: FloatArray, forgetting: float) -> WitnessErrors:
        """With an outcome of what was expected; unknown ones teach nothing.

        Args:
            said: What was expected.
            outcome: (W,) what came.
            forgetting: Share of the weight that is forgotten with an outcome.
        """
        errors = outcome - said.forecast, outcome - said.newest
        is_known = np.isfinite(errors[0]) & np.isfinite(errors[1])
        e_f, e_n = (np.where(is_known, e, 0.0) for e in errors)
        weight = self.weight * (1.0 - forgetting) + 1.0
        share = 1.0 / weight
        d_f = _without_outliers(e_f - self.forecast, self.var_forecast, self.weight)
        d_n = _without_outliers(e_n - self.newest, self.var_newest, self.weight)
        rest = 1.0 - share
        found = (
            weight,
            self.forecast + share * d_f,
            self.newest + share * d_n,
            rest * (self.var_forecast + share * d_f**2),
            rest * (self.var_newest + share * d_n**2),
            rest * (self.covariance + share * d_f * d_n),
        )
        old = (
            self.weight,
            self.forecast,
            self.newest,
            self.var_forecast,
            self.var_newest,
            self.covariance,
        )
        return WitnessErrors(*(np.where(is_known, n, o) for n, o in zip(found, old, strict=True)))

    def trust(self) -> FloatArray:
        """(W,) share of the newest demand in the best of both, in [0, 1]."""
        apart = self.var_forecast + self.var_newest - 2.0 * self.covariance
        share = (self.var_forecast - self.covariance) / np.maximum(apart, 1e-12)
        is_known = (self.weight >= LEAST_WEIGHT) & (apart > 1e-12)
        return np.where(is_known, np.clip(share, 0.0, 1.0), 0.0)

    def spread_ratio(self) -> FloatArray:
        """(W,) spread of the best of both over the forecast's own."""
        k = self.trust()
        best = (
            (1.0 - k) ** 2 * self.var_forecast
            + k**2 * self.var_newest
            + 2.0 * k * (1.0 - k) * self.covariance
        )
        ratio = np.sqrt(np.maximum(best, 0.0) / np.maximum(self.var_forecast, 1e-12))
        return np.where(k > 0, np.minimum(ratio, 1.0), 1.0)


def _without_outliers(off: FloatArray, variance: FloatArray, weight: FloatArray) -> FloatArray:
    """Errors cut to some spreads, once the spread is known: an outage teaches no more than that."""
    most = MOST_SPREADS * np.sqrt(variance)
    return np.where(weight >= LEAST_WEIGHT, np.clip(off, -most, most), off)


@dataclass(frozen=True, slots=True, eq=False)
class FastTrial:
    """What acting between decisions would have saved, older times weighing less; arrays (..., W).

    It is asked at every sub-step whether anybody acts or not, so that a service where it did not
    pay gets it back once it does.

    Attributes:
        weight: Sum of the weights.
        saved: Weighted sum of replicas saved, one sub-step each.
    """

    weight: FloatArray
    saved: FloatArray

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> FastTrial:
        """Nothing tried yet."""
        return cls(np.zeros(shape), np.zeros(shape))

    def learned(
        self, counts: TrialCounts, needed: FloatArray, price: FloatArray, forgetting: float
    ) -> FastTrial:
        """With a sub-step that both counts would have served; an unknown one teaches nothing.

        Args:
            counts: What would have been ready, in force since a lead time before.
            needed: (W,) replicas that the sub-step needed.
            price: (..., W) replicas that a sub-step out of SLA is worth.
            forgetting: Share of the weight that is forgotten with a sub-step.
        """
        is_known = np.isfinite(needed) & np.isfinite(counts.fast)
        out_slow, out_fast = needed > counts.slow, needed > counts.fast
        saved = (counts.slow - counts.fast) + price * (out_slow.astype(float) - out_fast)
        keep = 1.0 - forgetting
        return FastTrial(
            np.where(is_known, self.weight * keep + 1.0, self.weight),
            np.where(is_known, self.saved * keep + np.nan_to_num(saved), self.saved),
        )

    def pays(self) -> BoolArray:
        """(..., W) whether it would have, as far as is known."""
        return np.asarray((self.weight >= LEAST_WEIGHT) & (self.saved > 0.0))


class TrialCounts(NamedTuple):
    """Counts (..., W) with and without the fast path."""

    slow: FloatArray
    fast: FloatArray

    def capped(self, counts: FloatArray) -> TrialCounts:
        """What is left of them after a later decision for `counts`."""
        return TrialCounts(np.fmin(self.slow, counts), np.fmin(self.fast, counts))


def correction(
    decided: FloatArray, middle: FloatArray, said: Witnesses, errors: WitnessErrors
) -> FloatArray:
    """Load that a count must hold now to risk what the decision's count risked then.

    Args:
        decided: (..., W) load that the decision's count holds.
        middle: (W,) ln of the load in the middle of the forecast that it was decided by.
        said: What is expected of the time that a start made now answers for.
        errors: Of both witnesses.
    """
    is_heard = np.isfinite(said.newest) & np.isfinite(said.forecast)
    k = np.where(is_heard, errors.trust(), 0.0)
    apart = (said.newest + errors.newest) - (said.forecast + errors.forecast)
    shift = k * np.where(is_heard, apart, 0.0)
    above = np.log(decided) - middle
    return np.asarray(np.exp(middle + shift + np.where(k > 0, errors.spread_ratio(), 1.0) * above))
