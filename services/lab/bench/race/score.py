"""Points of a raced policy: at equal violation, at equal unserved demand, and as tuned beforehand.

Costs are over those of the oracle. Everything is a mean over workloads.

Shapes: G settings, W workloads, B counted blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.backtest.equal_violation import cost_at, neighbours
from services.lab.bench.race.course import FIRST_COUNTED, TUNING
from services.simulator.fleet.arrays import BoolArray, FloatArray, IntArray
from services.simulator.native_run import NativeRun

TRAINING_RATES = np.geomspace(1e-4, 0.3, 60)
"""Rates that settings of single services are chosen for, to draw the frontier of that choice."""


@dataclass(frozen=True, slots=True, eq=False)
class RaceYard:
    """What every policy's sums are divided by; arrays (W, B) over all blocks of the course.

    Attributes:
        known_s: Seconds with known demand.
        load: Demand x seconds.
        oracle_s: Replica-seconds of the oracle.
    """

    known_s: FloatArray
    load: FloatArray
    oracle_s: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class RacePoints:
    """Settings as points; each array (G,).

    Attributes:
        rate: Share of time out of SLA.
        cost: Replica-seconds over the oracle's.
        unserved: Share of the demand beyond capacity.
    """

    rate: FloatArray
    cost: FloatArray
    unserved: FloatArray

    def at_rate(self, epsilon: float) -> float:
        """Least cost at a share of time; NaN where no setting reaches it."""
        return cost_at(self.rate, self.cost, epsilon)

    def at_unserved(self, share: float) -> float:
        """Least cost at a share of unserved demand; NaN where no setting reaches it."""
        return cost_at(self.unserved, self.cost, share)

    def unserved_at_rate(self, epsilon: float) -> float:
        """Share of demand unserved at the matched point, as `at_rate` reads it off."""
        found = neighbours(self.rate, self.cost, epsilon)
        return float("nan") if found is None else found.read(self.unserved)


@dataclass(frozen=True, slots=True)
class TunedPoint:
    """What a choice made on the training part came to.

    Attributes:
        rate: Share of time out of SLA on the counted part.
        cost: Cost there, over the oracle's.
        unserved: Share of the demand unserved there.
        is_kept: Whether the choice kept the promise where it was made, for each service.
    """

    rate: float
    cost: float
    unserved: float
    is_kept: bool


def points(run: NativeRun, yard: RaceYard) -> RacePoints:
    """All settings on the counted part."""
    return _means(*_by_workload(run, yard))


def fleet_choice(run: NativeRun, yard: RaceYard, epsilon: float) -> TunedPoint:
    """One setting for the fleet: the cheapest that kept the promise on the training part."""
    known_s, out_s, held_s = (part[..., TUNING] for part in (yard.known_s, run.out_s, run.held_s))
    rows = known_s > 0
    rate = (out_s[:, rows] / known_s[rows]).mean(axis=1)
    cost = held_s[:, rows].mean(axis=1)
    g, is_kept = _cheapest(rate[:, None], cost[:, None], epsilon)
    found = points(run, yard)
    return TunedPoint(
        float(found.rate[g[0]]),
        float(found.cost[g[0]]),
        float(found.unserved[g[0]]),
        bool(is_kept[0]),
    )


def service_choice(run: NativeRun, yard: RaceYard, epsilon: float) -> TunedPoint:
    """A setting for each service, chosen on its training part alone."""
    found, is_kept = _per_service(run, yard, np.array([epsilon]))
    kept = bool(is_kept.all())
    return TunedPoint(float(found.rate[0]), float(found.cost[0]), float(found.unserved[0]), kept)


def service_points(run: NativeRun, yard: RaceYard) -> RacePoints:
    """The frontier of choices by service, over the rates that they were chosen for."""
    return _per_service(run, yard, TRAINING_RATES)[0]


def _per_service(run: NativeRun, yard: RaceYard, rates: FloatArray) -> tuple[RacePoints, BoolArray]:
    known_s = np.maximum(yard.known_s[:, TUNING], 1e-9)
    rate, cost = run.out_s[..., TUNING] / known_s, run.held_s[..., TUNING]
    chosen, kept = zip(*(_cheapest(rate, cost, r) for r in rates), strict=True)
    rows = np.arange(cost.shape[1])
    parts = [part[np.stack(chosen), rows] for part in _by_workload(run, yard)]
    return _means(*parts), np.stack(kept)


def _by_workload(run: NativeRun, yard: RaceYard) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(G, W) rate, cost and unserved share of the counted part; NaN where there is none."""
    counted = slice(FIRST_COUNTED, None)
    parts = [
        (run.out_s, yard.known_s),
        (run.held_s, yard.oracle_s),
        (run.shortage, yard.load),
    ]
    return tuple(  # type: ignore[return-value]
        _over(part[..., counted].sum(axis=-1), whole[..., counted].sum(axis=-1))
        for part, whole in parts
    )


def _means(rate: FloatArray, cost: FloatArray, unserved: FloatArray) -> RacePoints:
    rows = np.isfinite(rate[0]) & np.isfinite(cost[0])
    # a service without any demand has no share of it that was unserved
    asked = unserved[:, rows & np.isfinite(unserved[0])]
    mean_unserved = asked.sum(axis=1) / asked.shape[1] if asked.size else np.full(len(rate), np.nan)
    return RacePoints(rate[:, rows].mean(axis=1), cost[:, rows].mean(axis=1), mean_unserved)


def _cheapest(rate: FloatArray, cost: FloatArray, epsilon: float) -> tuple[IntArray, BoolArray]:
    """(W,) the cheapest of (G, W) that keeps the rate; where none does, the one nearest to it."""
    keeps = rate <= epsilon
    cheapest = np.argmin(np.where(keeps, cost, np.inf), axis=0)
    nearest = np.array([np.lexsort((cost[:, w], rate[:, w]))[0] for w in range(rate.shape[1])])
    is_kept = np.asarray(keeps.any(axis=0))
    return np.asarray(np.where(is_kept, cheapest, nearest)), is_kept


def _over(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.asarray(part / np.where(whole > 0, whole, np.nan))
