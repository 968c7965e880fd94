"""What leaving a part out costs at equal true violation, with a paired interval.

Costs are replicas held over the use of a single one (what would be needed by who knows the future
and may hold parts of a replica), mean over workloads, read off each arm's own frontier: several
promises, linear in the logarithm of the true rate between neighbours. The bootstrap resamples days,
workloads and draws of the response, the same for both arms: a workload comes with all its draws, a
draw with all its workloads. Shapes: R rows (the data as they are, then resamples).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from services.kernel.clock import make_rng
from services.lab.bench.ablate.resample import Draws, draws, point
from services.lab.bench.decide.frontier import Curve
from services.lab.bench.loads.arms import FULL, TOLD
from services.simulator.fleet.arrays import FloatArray

Document = dict[str, Any]
N_REPLICATES = 1000
BAR_PERCENT = 2.0
"""A part earns its place from this cost on."""
LEAST_REACHED = 0.9
"""Share of the resamples in which both arms must reach the rate."""


@dataclass(frozen=True, slots=True, eq=False)
class Extra:
    """Cost of an arm over Harmony's at one true rate.

    Attributes:
        cost: Over what is needed; NaN where no promise reaches the rate.
        percent: (R,) cost over Harmony's in per cent; NaN where one of the two does not reach it.
    """

    cost: float
    percent: FloatArray

    @property
    def value(self) -> float:
        """On the data as they are."""
        return float(self.percent[0])

    def interval(self) -> tuple[float, float]:
        """95 % interval; NaN where too few resamples reach the rate."""
        found = self.percent[1:][np.isfinite(self.percent[1:])]
        if found.size < LEAST_REACHED * (self.percent.size - 1):
            return float("nan"), float("nan")
        low, high = np.quantile(found, [0.025, 0.975])
        return float(low), float(high)

    @property
    def is_cost(self) -> bool:
        """Whether it costs 2 % or more, and more than nothing for sure."""
        return self.value >= BAR_PERCENT and self.interval()[0] > 0


def extras(document: Document, rate: float) -> dict[str, Extra]:
    """Every arm's extra cost at a true rate."""
    drawn = _draws(document)
    frontiers = {name: _costs(document, drawn, name, rate) for name in document["arms"]}
    own = frontiers[FULL]
    return {
        name: Extra(float(cost[0]), 100.0 * (cost / own - 1.0)) for name, cost in frontiers.items()
    }


def with_draw(document: Document, other: Document) -> Document:
    """A document with the same arms under one more draw: its workloads come after the others."""
    arms = {
        name: [
            {key: values + more[key] for key, values in sums.items()}
            for sums, more in zip(by_promise, other["arms"][name], strict=True)
        ]
        for name, by_promise in document["arms"].items()
    }
    seconds = {n: round(s + other["seconds"][n], 1) for n, s in document["seconds"].items()}
    sums = {key: document[key] + other[key] for key in ("known", "needed", "bound_by")}
    draws = document["draws"] + other["draws"]
    return {**document, **sums, "arms": arms, "seconds": seconds, "draws": draws}


def _draws(document: Document) -> Draws:
    n_draws, known = document["draws"], document["known"]
    rng = make_rng(int(document["seed"]), "bench", "loads", "bootstrap")
    found = draws(len(known) // n_draws, len(known[0]), N_REPLICATES, rng)
    if n_draws == 1:
        return found
    counts = rng.multinomial(n_draws, np.full(n_draws, 1.0 / n_draws), size=N_REPLICATES)
    counts = np.vstack([np.ones((1, n_draws)), counts])
    rows = counts[:, :, None] * found.workloads[:, None, :]
    return replace(found, workloads=rows.reshape(len(rows), -1))


def _costs(document: Document, drawn: Draws, name: str, rate: float) -> FloatArray:
    """(R,) least cost over what is needed at a true rate; NaN where all rates are on one side."""
    yard = {"known": document["known"], "held": document["needed"]}
    points = [point(drawn, sums, yard) for sums in document["arms"][name]]
    rates, costs = np.stack([p.rate for p in points]), np.stack([p.ratio for p in points])
    found = np.array([Curve(rates[:, r], costs[:, r]).at(rate) for r in range(rates.shape[1])])
    return np.where(rates.max(axis=0) >= rate, found, np.nan)


@dataclass(frozen=True, slots=True)
class DeployedFigures:
    """An arm at one promise, as it is deployed; means over workloads.

    Attributes:
        true: Share of time out of SLA, which is what was measured too.
        believed: The same by the stated capacities.
        cost: Replicas held over what is needed.
        n_twice: Workloads truly over twice the promise.
    """

    true: float
    believed: float
    cost: float
    n_twice: int


def deployed(document: Document, epsilon: float) -> dict[str, DeployedFigures]:
    """Every arm at one of the promises."""
    at = document["epsilons"].index(epsilon)
    known, needed = (np.asarray(document[k]).sum(axis=1) for k in ("known", "needed"))
    found = {}
    for name, by_promise in document["arms"].items():
        total = {k: np.asarray(v).sum(axis=1) for k, v in by_promise[at].items()}
        true = total["out"] / np.maximum(known, 1.0)
        found[name] = DeployedFigures(
            float(true.mean()),
            float((total["believed"] / np.maximum(known, 1.0)).mean()),
            float((total["held"] / needed).mean()),
            int((true > 2 * epsilon).sum()),
        )
    return found


def cost_of_not_knowing(document: Document, rate: float) -> float:
    """Harmony's cost over that of Harmony which is told the response, in per cent; NaN: unknown."""
    found = extras(document, rate)
    if TOLD not in found:
        return float("nan")
    return 100.0 * (found[FULL].cost / found[TOLD].cost - 1.0)
