"""What leaving a corrector out does, per data set and over all, with intervals.

docs/decisions/0027 holds the rule by which a corrector stays. Shapes: R rows (the data as they are,
then resamples), D data sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.kernel.clock import make_rng
from services.lab.bench.ablate.resample import Draws, Point, cost_at, draws, point
from services.lab.bench.ablate.run import OTHER_PROMISE
from services.simulator.fleet.arrays import FloatArray

Document = Mapping[str, Any]
N_REPLICATES = 1000
OWN = "harmony"


@dataclass(frozen=True, slots=True)
class Bar:
    """From where on a figure counts as a gain of the corrector.

    Attributes:
        over_all: For the mean over all sets, with a 95 % interval above zero.
        on_one: On one set, with a 99 % interval above zero; two sets are needed.
    """

    over_all: float
    on_one: float


BARS: Mapping[str, Bar] = {
    "cost": Bar(0.5, 1.0),
    "gap": Bar(0.1, 0.2),
    "crps": Bar(0.25, 1.0),
    "tail": Bar(0.5, 2.0),
    "coverage_95": Bar(0.2, np.inf),
    "coverage_99": Bar(0.1, np.inf),
}
"""Costs and losses in per cent, gaps and coverage in points."""
SETS_NEEDED = 2


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """How much worse one figure is without the corrector.

    Attributes:
        by_set: (D, R) per data set; per cent or points, above 0 is worse.
    """

    by_set: FloatArray

    @property
    def mean(self) -> float:
        """Mean over the data sets."""
        return float(self.by_set[:, 0].mean())

    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean."""
        low, high = np.quantile(self.by_set[:, 1:].mean(axis=0), [0.025, 0.975])
        return float(low), float(high)

    def sets_above(self, bar: Bar) -> int:
        """Data sets on which the figure is clearly worse without the corrector."""
        low = np.quantile(self.by_set[:, 1:], 0.005, axis=1)
        return int(((self.by_set[:, 0] > bar.on_one) & (low > 0)).sum())

    def sets_below(self, bar: Bar) -> int:
        """Data sets on which it is clearly better without."""
        high = np.quantile(self.by_set[:, 1:], 0.995, axis=1)
        return int(((self.by_set[:, 0] < -bar.on_one) & (high < 0)).sum())

    def is_gain(self, bar: Bar) -> bool:
        """Whether the corrector earns its place by this figure."""
        over_all = self.mean > bar.over_all and self.interval()[0] > 0
        return over_all or self.sets_above(bar) >= SETS_NEEDED


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """An arm's decisions at one promise over all data sets.

    Attributes:
        rate: (D,) share of time out of SLA.
        gap: (D,) its distance from the promise, in points.
        cost: (D,) cost over Harmony's.
        churn: (D,) replicas started and stopped over Harmony's; NaN where it moves none.
        effects: `cost` at its rate in per cent, and `gap` in points.
        n_differ: Data sets on which any count differs.
    """

    rate: FloatArray
    gap: FloatArray
    cost: FloatArray
    churn: FloatArray
    effects: Mapping[str, Effect]
    n_differ: int


def decisions(documents: Sequence[Document], epsilon: float) -> dict[str, Decisions]:
    """Every arm that decides, at one promise."""
    names = _names(documents, "decide")
    sets = [_DecideSet.of(document, epsilon) for document in documents]
    return {name: _decisions(sets, name, epsilon) for name in names}


@dataclass(frozen=True, slots=True, eq=False)
class _DecideSet:
    """One data set at one promise: who is compared with what."""

    document: Document
    index: int
    drawn: Draws
    own: Point
    trade: tuple[Point, ...]

    @classmethod
    def of(cls, document: Document, epsilon: float) -> _DecideSet:
        """The set of one document at one promise, with its resamples drawn."""
        yard = document["yard"]
        drawn = draws(
            len(yard["held"]), len(yard["held"][0]), N_REPLICATES, make_rng(7, "bench", "ablate")
        )
        index = document["epsilons"].index(epsilon)
        own = point(drawn, document["decide"][OWN][index], yard)
        names = [name for name in document["decide"] if name.startswith(OTHER_PROMISE)]
        others = (point(drawn, document["decide"][name][index], yard) for name in names)
        trade = (own, *others)
        return cls(document, index, drawn, own, trade)

    def arm(self, name: str) -> Point:
        """An arm's point."""
        return point(self.drawn, self.document["decide"][name][self.index], self.document["yard"])

    def churn(self, name: str) -> float:
        """Replicas that an arm starts and stops over Harmony's; NaN where Harmony moves none."""
        decided = self.document["decide"]
        arm, own = (np.sum(decided[n][self.index]["churn"]) for n in (name, OWN))
        return float(arm / own) if own > 0 else float("nan")

    def differs(self, name: str) -> bool:
        """Whether the arm did anything else than Harmony."""
        decided = self.document["decide"]
        return bool(decided[name][self.index] != decided[OWN][self.index])


def _decisions(sets: Sequence[_DecideSet], name: str, epsilon: float) -> Decisions:
    points = [one.arm(name) for one in sets]
    cost, gap = [], []
    for one, arm in zip(sets, points, strict=True):
        # Harmony itself lies on its trade only to rounding: both sides are read off there.
        expected = cost_at(arm.rate, one.trade)
        usual = one.own.ratio / cost_at(one.own.rate, one.trade)
        cost.append(100.0 * np.log(arm.ratio / expected / usual))
        off = np.abs(arm.rate - epsilon) - np.abs(one.own.rate - epsilon)
        gap.append(100.0 * off)
    rate = np.array([p.rate[0] for p in points])
    return Decisions(
        rate,
        100.0 * np.abs(rate - epsilon),
        np.array([p.ratio[0] / one.own.ratio[0] for one, p in zip(sets, points, strict=True)]),
        np.array([one.churn(name) for one in sets]),
        {"cost": Effect(np.stack(cost)), "gap": Effect(np.stack(gap))},
        sum(one.differs(name) for one in sets),
    )


def forecasts(documents: Sequence[Document]) -> dict[str, dict[str, Effect]]:
    """Every arm's effects on forecasts: `crps`, `tail` in per cent, `coverage_*` in points."""
    found: dict[str, dict[str, list[FloatArray]]] = {}
    names = _names(documents, "forecast")
    for document in documents:
        arms = document["forecast"]
        drawn = draws(
            len(arms[OWN]["n"]),
            len(arms[OWN]["n"][0]),
            N_REPLICATES,
            make_rng(7, "bench", "ablate"),
        )
        own = _figures(drawn, arms[OWN])
        for name in names:
            other = _figures(drawn, arms[name])
            rows = found.setdefault(name, {})
            for figure in ("crps", "tail"):
                change = 100.0 * np.log(other[figure] / own[figure])
                rows.setdefault(figure, []).append(change)
            for figure in ("coverage_95", "coverage_99"):
                rows.setdefault(figure, []).append(100.0 * (other[figure] - own[figure]))
    return {
        name: {figure: Effect(np.stack(values)) for figure, values in rows.items()}
        for name, rows in found.items()
    }


def _figures(drawn: Draws, sums: Document) -> dict[str, FloatArray]:
    """(R,) mean losses, and distances of coverage from what it should be."""
    inside, below = (drawn.share(sums[k], sums["n"]) for k in ("inside_0.95", "below_99"))
    return {
        "crps": drawn.mean_of_ratios(sums["crps"], sums["n"]),
        "tail": drawn.mean_of_ratios(sums["tail"], sums["n"]),
        "coverage_95": np.abs(inside - 0.95),
        "coverage_99": np.abs(below - 0.99),
    }


def _names(documents: Iterable[Document], part: str) -> list[str]:
    """Arms that every document has, Harmony and its other promises aside."""
    found: list[str] | None = None
    for document in documents:
        own = [n for n in document[part] if n != OWN and not n.startswith(OTHER_PROMISE)]
        found = own if found is None else [name for name in found if name in own]
    return found or []
