"""Node-hours at the same promise kept: Harmony against its rivals, each in hindsight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from services.backtest.equal_violation import cost_at
from services.lab.bench.decide.figures import geometric_mean, number
from services.lab.bench.supply.options import CRON, HEADROOM, HPA, PROMISED
from services.lab.bench.supply.run import SupplyCell
from services.lab.bench.supply.run_figures import SettingFigures
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies.rivals import HARMONY

Json = dict[str, Any]
RIVALS = (HPA, HEADROOM, CRON)


@dataclass(frozen=True, slots=True)
class CellScore:
    """One fleet at one start-up.

    Attributes:
        told: Harmony as it was told the promise, not tuned; None: it did not run.
        node_hours: Least node-hours at the promise by policy; None: no setting of it keeps it.
    """

    told: SettingFigures | None
    node_hours: dict[str, float | None]

    def over(self, rival: str) -> float | None:
        """Harmony's node-hours over a rival's; None where one of both does not keep the promise."""
        own, other = self.node_hours.get(HARMONY), self.node_hours.get(rival)
        return None if own is None or other is None else own / other

    def over_best(self) -> float | None:
        """Harmony's node-hours over those of the rival that is the cheapest here."""
        ratios = (self.over(rival) for rival in RIVALS)
        return max((ratio for ratio in ratios if ratio is not None), default=None)


def score_cell(
    cell: SupplyCell, rate_of: Callable[[SettingFigures], float] = attrgetter("mean_rate")
) -> CellScore:
    """Read every policy off its own settings at the promise.

    Args:
        cell: All settings.
        rate_of: The share of time out of SLA that is to be as promised: the mean over services, or
            that of the worst one.
    """
    found: dict[str, float | None] = {}
    for policy in (*RIVALS, HARMONY):
        settings = cell.of(policy)
        if not settings:
            continue
        rate = np.array([rate_of(each) for each in settings])
        hours = np.array([each.figures.node_hours for each in settings])
        found[policy] = _least(rate, hours)
    own = [each for each in cell.of(HARMONY) if each.promise == PROMISED]
    return CellScore(own[0] if own else None, found)


def _least(rate: FloatArray, hours: FloatArray) -> float | None:
    known = np.isfinite(rate)
    if not known.any():
        return None
    cost = cost_at(rate[known], hours[known], PROMISED)
    return float(cost) if np.isfinite(cost) else None


def summary(cells: Sequence[SupplyCell]) -> Json:
    """The figures that the targets are about; None where nothing can be said.

    Ratios are geometric means over the runs in which both reach the promise.
    """
    scores = [score_cell(cell) for cell in cells]
    told = [score.told for score in scores if score.told is not None]
    rates = [each.figures.rate for each in told if np.isfinite(each.figures.rate)]
    n, n_inside = sum(each.n_expected for each in told), sum(each.n_inside for each in told)
    return {
        "promised": PROMISED,
        "true_rate": number(float(np.mean(rates))) if rates else None,
        "held_scale_ups": sum(each.n_held or 0 for each in told) if told else None,
        "node_hours_vs_best_headroom": _mean_ratio(score.over(HEADROOM) for score in scores),
        "node_hours_vs_hpa": _mean_ratio(score.over(HPA) for score in scores),
        "node_hours_vs_best_rival": _mean_ratio(score.over_best() for score in scores),
        "lead_time_coverage_90": number(n_inside / n) if n else None,
    }


def _mean_ratio(ratios: Iterable[float | None]) -> float | None:
    return geometric_mean(ratio for ratio in ratios if ratio is not None)
