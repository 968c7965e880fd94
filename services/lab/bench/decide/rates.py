"""Rates out of SLA in truth, as believed and as measured, as they are written and summed up.

Documents of earlier versions have none of these; their parts are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.lab.bench.decide.figures import WorkloadFigures, geometric_mean, number
from services.lab.bench.decide.truth import MEASURED, TOLD_TRUTH
from services.simulator.policies.rivals import HARMONY
from services.simulator.scoreboard import mean_known

RATES = ("true_rate", "believed_rate", "measured_rate")
NOT_KNOWING = "cost_of_not_knowing"
Json = dict[str, Any]


def fleet_rates(figures: WorkloadFigures) -> Json:
    """The three rates, means over workloads."""
    found = (figures.violation_rate, figures.believed_rate, figures.measured_rate)
    return {name: number(mean_known(rate)) for name, rate in zip(RATES, found, strict=True)}


def workload_rates(figures: WorkloadFigures, w: int) -> Json:
    """The three rates of a workload."""
    found = (figures.violation_rate, figures.believed_rate, figures.measured_rate)
    return {name: number(float(rate[w])) for name, rate in zip(RATES, found, strict=True)}


def add_cost_of_not_knowing(arms: Mapping[str, Json], cost: str) -> None:
    """Write into Harmony's arms what they cost over Harmony that is told the true capacity.

    The two reach different rates, so both stand beside the ratio. Null where the stated
    capacity is the true one: nothing else was run.

    Args:
        arms: Policies with their figures.
        cost: Name of the figure that is compared.
    """
    told = arms.get(TOLD_TRUTH)
    for own in (arms[name] for name in (HARMONY, MEASURED) if name in arms):
        own[NOT_KNOWING] = told and {
            "cost_ratio": number(own[cost] / told[cost]) if own[cost] and told[cost] else None,
            "true_rate": own["true_rate"],
            "true_rate_told": told["true_rate"],
        }


def summed_up(arms: Sequence[Mapping[str, Json]]) -> Json:
    """Every arm over the data sets that ran it: mean rates, and the cost of not knowing.

    Args:
        arms: Per data set, policies as deployed at one promise.
    """
    names = dict.fromkeys(name for one in arms for name in one if RATES[0] in one[name])
    found: Json = {}
    for name in names:
        ran = [one[name] for one in arms if RATES[0] in one.get(name, {})]
        found[name] = {rate: _mean([one[rate] for one in ran]) for rate in RATES}
        found[name]["n_datasets"] = len(ran)
        if name in (HARMONY, MEASURED):
            found[name][NOT_KNOWING] = _mean_cost([one[NOT_KNOWING] for one in ran])
    return found


def _mean_cost(costs: Sequence[Json | None]) -> Json | None:
    known = [one for one in costs if one]
    if not known:
        return None
    return {
        "cost_ratio": geometric_mean(one["cost_ratio"] for one in known if one["cost_ratio"]),
        "true_rate": _mean([one["true_rate"] for one in known]),
        "true_rate_told": _mean([one["true_rate_told"] for one in known]),
        "n_datasets": len(known),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    return number(mean_known(np.array(values, dtype=float)))
