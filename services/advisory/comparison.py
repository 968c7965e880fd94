"""What running cost and broke, and what Harmony would have, over the same steps; pure.

Both sides are judged by one yardstick: the replicas that each step needed, by the capacity that was
believed then. What was measured of requests stands beside it for what ran; of counts that never ran
nothing can be measured.

Shapes: T steps, B blocks of the window, N resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from services.advisory.block_sums import BlockSums
from services.advisory.counterfactual import HOUR_S, StoredSteps
from services.backtest.equal_violation import INTERVAL, N_RESAMPLES, ROUNDING
from services.kernel.domain.figures import fixed, kept, percentage
from services.simulator.fleet.arrays import BoolArray, FloatArray

MIN_BLOCKS_SEEN = 5
"""Of fewer blocks with something to compare no interval is given."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 90 % interval; None: it is not known, or too little is."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self, decimals: int) -> dict[str, float | None]:
        """For the document of `--json`."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if end is None else kept(end, decimals) for name, end in ends.items()}


@dataclass(frozen=True, slots=True)
class SideBySide:
    """What ran beside what Harmony would have run, over the steps in which both are known.

    Attributes:
        hours: These, in workload-hours.
        known_hours: Those of them whose demand is known; shares are of them.
        today_usd: Cost of what ran.
        today_ratio: Share of time out of SLA, believed.
        harmony_usd: Cost of Harmony's counts.
        harmony_ratio: Share of time out of SLA, believed.
        cost_change: Harmony's cost over today's, less one.
        ratio_change: Difference of the two shares.
    """

    hours: float
    known_hours: float
    today_usd: float
    today_ratio: float | None
    harmony_usd: Estimate
    harmony_ratio: Estimate
    cost_change: Estimate
    ratio_change: Estimate

    def sentence(self, promise: float | None = None) -> str:
        """The comparison in words; nothing is claimed where an interval holds no difference.

        Args:
            promise: Share of time out of SLA that is promised; None: nothing is said of it.
        """
        words = f"{_cost_words(self.cost_change)}, {_ratio_words(self.ratio_change)}."
        found = self.harmony_ratio.value
        if promise is None or found is None or found <= promise:
            return words
        broken = f"Harmony would have broken its promise of {percentage(promise)}"
        return f"{words} {broken}: {percentage(found)}, believed."

    def to_json(self) -> dict[str, Any]:
        """For the document of `--json`."""
        return {
            "hours": round(self.hours, 4),
            "known_hours": round(self.known_hours, 4),
            "today_usd": kept(self.today_usd, 6),
            "today_believed_ratio": _rounded(self.today_ratio),
            "harmony_usd": self.harmony_usd.to_json(6),
            "harmony_believed_ratio": self.harmony_ratio.to_json(6),
            "cost_change": self.cost_change.to_json(4),
            "ratio_change": self.ratio_change.to_json(6),
        }


def compare(parts: Sequence[BlockSums], rng: np.random.Generator) -> SideBySide | None:
    """Compare one workload, or several together; None where nothing can be compared.

    The interval resamples blocks in which something can be compared, the same for both sides and
    for all workloads.

    Args:
        parts: Sums of each workload over the same blocks.
        rng: For the resamples.
    """
    if not parts:
        return None
    sums = reduce(BlockSums.plus, parts)
    if not sums.hours.any():
        return None
    seen = np.stack(sums.columns())[:, sums.hours > 0]
    n_seen = seen.shape[1]
    drawn = rng.multinomial(n_seen, np.full(n_seen, 1.0 / n_seen), N_RESAMPLES)
    totals, resampled = seen.sum(axis=1), seen @ drawn.T

    def figure(of: Callable[[FloatArray], FloatArray]) -> Estimate:
        value = _number(of(totals[:, None])[0])
        if value is None or n_seen < MIN_BLOCKS_SEEN:
            return Estimate(value)
        found = of(resampled)
        if not np.isfinite(found).any():
            return Estimate(value)
        return Estimate(value, *(_number(end) for end in np.nanquantile(found, INTERVAL)))

    hours = float(totals[0])
    return SideBySide(
        hours=hours,
        known_hours=float(totals[3]),
        today_usd=float(totals[1]),
        today_ratio=_number(_ratio(totals[4:5], totals[3:4])[0]),
        harmony_usd=figure(lambda s: hours * _ratio(s[2], s[0])),
        harmony_ratio=figure(lambda s: _ratio(s[5], s[3])),
        cost_change=figure(lambda s: _change(_ratio(s[2], s[1]) - 1.0)),
        ratio_change=figure(lambda s: _change(_ratio(s[5] - s[4], s[3]))),
    )


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    found = np.full(below.shape, np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def _change(found: FloatArray) -> FloatArray:
    """What differs by no more than sums are rounded does not differ."""
    return np.where(np.abs(found) < ROUNDING, 0.0, found)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cost_words(change: Estimate) -> str:
    if change.value is None:
        return "Nothing ran that cost anything"
    if change.low is None or change.high is None:
        return f"Harmony would have cost {_signed(change.value)} (too short for an interval)"
    between = f"90 % interval {_signed(change.low)} to {_signed(change.high)}"
    if change.low <= 0.0 <= change.high:
        return f"No difference in cost is shown: {_signed(change.value)} ({between})"
    word = "less" if change.value < 0 else "more"
    return f"Harmony would have cost {percentage(abs(change.value), 1, 1)} {word} ({between})"


def _signed(change: float) -> str:
    return percentage(change, 1, 1, "+")


def _ratio_words(change: Estimate) -> str:
    if change.value is None:
        return "and of time out of SLA nothing is known"
    if change.low is None or change.high is None:
        return f"with {_points(change.value)} points of time out of SLA"
    between = f"{_points(change.low)} to {_points(change.high)}"
    if change.low <= 0.0 <= change.high:
        return f"and no difference in time out of SLA is shown ({between} points)"
    word = "less" if change.value < 0 else "more"
    by = fixed(100 * abs(change.value), 2, 1)
    return f"with {by} points {word} time out of SLA ({between} points)"


def _points(change: float) -> str:
    return fixed(100 * change, 2, 1, "+")


@dataclass(frozen=True, slots=True)
class Ran:
    """What ran over some steps.

    Attributes:
        hours: These, in hours.
        cost_usd: Their cost; None: not one of them is known.
        believed_ratio: Share of time out of SLA by the believed capacity; None: not known.
        measured_ratio: Share of time, or of requests where these are promised, out of SLA as
            measured; None: nothing was.
    """

    hours: float
    cost_usd: float | None
    believed_ratio: float | None
    measured_ratio: float | None

    @property
    def ratio(self) -> float | None:
        """Share out of SLA: as measured, else as believed."""
        return self.believed_ratio if self.measured_ratio is None else self.measured_ratio

    @property
    def source(self) -> str | None:
        """What `ratio` goes by; None: nothing is known."""
        if self.measured_ratio is not None:
            return "measured"
        return None if self.believed_ratio is None else "believed"

    def to_json(self) -> dict[str, Any]:
        """For the document of `--json`."""
        return {
            "hours": round(self.hours, 4),
            "cost_usd": None if self.cost_usd is None else kept(self.cost_usd, 6),
            "believed_ratio": _rounded(self.believed_ratio),
            "measured_ratio": _rounded(self.measured_ratio),
            "source": self.source,
        }


def ran(steps: StoredSteps, where: BoolArray, *, is_of_requests: bool) -> Ran:
    """What ran over some steps of known cost.

    Args:
        steps: What is stored.
        where: (T,) the steps.
        is_of_requests: The promise is about requests: these count, not the steps. A step from
            before the promise became one of requests says what share of them missed, too.
    """
    n = int(where.sum())
    weight = np.where(where, steps.requests if is_of_requests else 1.0, np.nan)
    measured = steps.missed if is_of_requests else steps.measured
    return Ran(
        hours=n * steps.step_s / HOUR_S,
        cost_usd=float(steps.cost_usd[where].sum()) if n else None,
        believed_ratio=_weighted(steps.believed, np.where(where, 1.0, np.nan)),
        measured_ratio=_weighted(measured, weight),
    )


def _weighted(values: FloatArray, weight: FloatArray) -> float | None:
    """Mean of what is known of both; None: nothing is."""
    is_known = np.isfinite(values) & np.isfinite(weight)
    total = float(weight[is_known].sum())
    return float(values[is_known] @ weight[is_known]) / total if total > 0 else None


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else kept(ratio, 6)
