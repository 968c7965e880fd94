"""Forecasts of further loads, beside those of the demand, for the workloads that have any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecaster import LadderForecast, Windows, joint_paths
from services.forecasting.online.further import corrected_further
from services.forecasting.registry.store import Serving
from services.forecasting.rows.further import with_joint, without_joint
from services.forecasting.rows.translate import ForecastRow, WorkloadRow
from services.kernel.clock import make_rng


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer for workloads on one step length.

    Attributes:
        serving: What answered.
        workloads: B workloads.
        windows: Their windows, in the same order.
        result: Forecasts of their demand, hedged and calibrated.
    """

    serving: Serving
    workloads: Sequence[WorkloadRow]
    windows: Windows
    result: LadderForecast


def with_further_loads(
    rows: Sequence[ForecastRow],
    answered: Answered,
    stored: Mapping[str, Mapping[str, Any]],
    seed: int,
) -> list[ForecastRow]:
    """The rows, those of workloads with further loads with the paths of these.

    Args:
        rows: What is stored of the demand's forecasts, the answered ones first.
        answered: Those forecasts.
        stored: State of each workload by its name, with the calibrations of its further loads.
        seed: Base seed. Further loads have a generator of their own, so that forecasts of
            workloads without any do not depend on who has some.
    """
    workloads, result = answered.workloads, answered.result
    further = [workloads[int(at)].spec.further_loads for at in result.answered]
    chosen = np.array([i for i, names in enumerate(further) if names], dtype=np.int64)
    if result.forecast is None or chosen.size == 0:
        return list(rows)
    windows = answered.windows.rows(result.answered[chosen])
    names, forecast = [further[i] for i in chosen], result.forecast.rows(chosen)
    rng = make_rng(seed, "joint", workloads[0].id, rows[0].origin_at.isoformat())
    found = joint_paths(answered.serving.ladder, windows, names, forecast, rng)
    corrected = corrected_further(stored, forecast, names, found, windows)
    changed = list(rows)
    for k, (i, joint) in enumerate(zip(chosen, corrected, strict=True)):
        if joint is None:
            changed[i] = without_joint(rows[i], windows, k, names[k])
        else:
            changed[i] = with_joint(rows[i], names[k], joint)
    return changed
