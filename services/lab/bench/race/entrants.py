"""Who races, how often each decides, and with which grid of settings.

Cadences are those of the originals' documents where they name one: HPA and predictive HPA 15 s,
Knative 2 s, Dynamo 180 s. KEDA acts by the HPA that it makes, each 15 s: that asks KEDA's metrics
server, which reads the trigger anew unless `useCachedMetrics` is set. Its `pollingInterval` of 30 s
is how often it looks whether to wake from zero. A trailing percentile acts each minute. Autopilot
and the AWS rule are given a minute too, which is faster than they are in life, and so is Ray Serve:
with a look each minute its delay upwards of 30 s is over at once, with more looks it waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from services.simulator.native_run import whole_cadence
from services.simulator.policies.grid import GridPolicy
from services.simulator.policies.predictive.phpa import PhpaLinear
from services.simulator.policies.reactive.keda import KedaGrid
from services.simulator.policies.reactive.ray_serve import RayServe
from services.simulator.policies.rivals import TARGETS, rivals
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid

MINUTE_S = 60.0
CADENCE_S = {
    "hpa": 15.0,
    "hpa_clipped": 15.0,
    "keda": 15.0,
    "kpa": 2.0,
    "apa": 15.0,
    "phpa_linear": 15.0,
    "phpa_holt_winters": 15.0,
    "dynamo_constant": 180.0,
    "dynamo_kalman": 180.0,
    "dynamo_arima": 180.0,
}


@dataclass(frozen=True, slots=True)
class Entrant:
    """A policy and how often it decides.

    Attributes:
        policy: Its grid of settings.
        cadence_s: Seconds between decisions.
    """

    policy: GridPolicy[Any]
    cadence_s: float


def race_rivals(sub_s: float, lead_s: float, finest_s: float) -> dict[str, Entrant]:
    """Every policy that knows demand alone, at its own cadence.

    Args:
        sub_s: Seconds of a sub-step: a slower cadence is a whole number of them.
        lead_s: Seconds that a start takes: how far the line of predictive HPA looks ahead.
        finest_s: Nobody decides more often. Between two sub-steps there is nothing new to see but
            starts that have landed.
    """
    found: dict[str, Entrant] = {}
    for name in rivals(MINUTE_S):
        cadence_s = whole_cadence(max(CADENCE_S.get(name, MINUTE_S), finest_s), sub_s)
        found[name] = Entrant(rivals(cadence_s)[name], cadence_s)
    line = found["phpa_linear"]
    found["phpa_linear"] = Entrant(_lines(lead_s, sub_s, line.cadence_s), line.cadence_s)
    keda_s = whole_cadence(max(CADENCE_S["keda"], finest_s), sub_s)
    found["keda"] = Entrant(KedaGrid(TARGETS), keda_s)
    found["trailing_percentile"] = Entrant(
        fine_trailing_percentile(found["trailing_percentile"].cadence_s),
        found["trailing_percentile"].cadence_s,
    )
    found["ray_serve"] = Entrant(fine_ray_serve(), found["ray_serve"].cadence_s)
    return found


def fine_trailing_percentile(cadence_s: float) -> TrailingPercentileGrid:
    """A finer grid of the strongest rival: windows from one sample to a day."""
    windows = sorted({max(cadence_s, s) for s in (60.0, 180.0, 600.0, 1800.0, 7200.0, 86400.0)})
    margins = (-0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.2, 1.6, 2.4)
    cells = np.array(
        [
            (window, percentile, margin)
            for window, percentile, margin in product(windows, (90.0, 97.0, 100.0), margins)
            if window > cadence_s or percentile == 100.0
        ]
    )
    return TrailingPercentileGrid(*cells.T)


def fine_ray_serve() -> RayServe:
    """A finer grid of the second strongest: targets, and how fast it lets go."""
    ratios = np.concatenate([np.geomspace(0.05, 0.5, 12), np.linspace(0.55, 1.1, 24)])
    ratio, factor = np.array(list(product(ratios, (1.0, 0.3, 0.1)))).T
    return RayServe(ratio, downscale_factor=factor)


def _lines(lead_s: float, sub_s: float, cadence_s: float) -> PhpaLinear:
    """Lines over points that span the time they are read ahead, and six new values at least.

    A line through six looks 15 s apart, on demand that is new each minute, says nothing of ten
    minutes ahead.
    """
    percent = (10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 100)
    spans_s = max(lead_s, 6.0 * sub_s), max(4.0 * lead_s, 12.0 * sub_s)
    sizes = [max(n, round(span_s / cadence_s)) for n, span_s in zip((6, 12), spans_s, strict=True)]
    cells = np.array(list(product(percent, sizes, (lead_s, 2.0 * lead_s))), dtype=float)
    return PhpaLinear(*cells.T)
