"""The verdict over data sets, from their parts of a document alone.

Costs are compared at the matched rate (what a user gets who could tune every policy in hindsight),
calibration and churn as deployed. Means over data sets are geometric where they are of ratios.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.lab.bench.decide.figures import geometric_mean, number
from services.lab.bench.decide.rates import NOT_KNOWING, RATES, summed_up
from services.lab.bench.decide.settled import settled_figures

HPAS = ("hpa", "hpa_clipped")
"""HPA on a metric that may exceed 1, and on one that is clipped there: the better one counts."""
HPA = "hpa"
OWN = "harmony"
MIN_DAYS = 5
"""Fewer days say little about the spread between days: the interval is too narrow."""
Dataset = Mapping[str, Any]


def summarise(datasets: Sequence[Dataset]) -> dict[str, dict[str, Any]]:
    """Figures per promise, over the data sets that were run at it."""
    keys = sorted({key for one in datasets for key in one["matched"]}, key=float)
    return {key: _promise(key, [d for d in datasets if key in d["matched"]]) for key in keys}


def compare(dataset: Dataset, key: str) -> dict[str, Any]:
    """One data set at one promise; a ratio is null where one of its sides does not exist."""
    matched, deployed = dataset["matched"][key], dataset["deployed"][key]
    best = dataset["best_baseline"][key]
    rate = deployed[OWN]["rate"]
    return {
        "vs_best_baseline": _ratio(matched[OWN], matched[best] if best else None),
        "best_baseline": best,
        "vs_hpa": _ratio(matched[OWN], _least(matched, HPAS)),
        "vs_oracle": matched[OWN],
        "deployed_rate": rate,
        "deployed_vs_oracle": deployed[OWN]["cost_ratio"],
        "calibration_gap_pp": None if rate is None else number(100.0 * abs(rate - float(key))),
        "churn_ratio_vs_hpa": _ratio(deployed[OWN]["churn_per_day"], _churn(deployed, HPA)),
        **{name: deployed[OWN].get(name) for name in (*RATES, NOT_KNOWING)},
    }


def _promise(key: str, datasets: Sequence[Dataset]) -> dict[str, Any]:
    rows = {one["data"]: compare(one, key) for one in datasets}
    versus = _known(rows, "vs_best_baseline")
    not_reached = sorted(name for name, row in rows.items() if row["vs_oracle"] is None)
    beaten = [name for name in not_reached if rows[name]["best_baseline"] is not None]
    gaps = _known(rows, "calibration_gap_pp")
    hpa, churn = _known(rows, "vs_hpa"), _known(rows, "churn_ratio_vs_hpa")
    # Where a rival reaches the rate and Harmony does not, the worst ratio has no bound.
    worst = None if beaten or not versus else max(versus, key=lambda name: versus[name])
    replicates = [one["replicates"].get(key, []) for one in datasets if one["data"] in versus]
    interval, n_used = interval_of(replicates)
    return {
        "vs_best_baseline": geometric_mean(versus.values()),
        "ci": interval,
        "vs_hpa": geometric_mean(hpa.values()),
        "vs_oracle": geometric_mean(_known(rows, "vs_oracle").values()),
        "worst_vs_best_baseline": versus[worst] if worst else None,
        "calibration_gap_pp": number(float(np.mean(list(gaps.values())))) if gaps else None,
        "churn_ratio_vs_hpa": geometric_mean(churn.values()),
        "largest_calibration_gap_pp": max(gaps.values()) if gaps else None,
        "n_datasets": len(rows),
        "n_vs_best_baseline": len(versus),
        "n_vs_hpa": len(hpa),
        "n_churn": len(churn),
        "worst_dataset": worst,
        "harmony_not_reached": not_reached,
        "ci_replicates_used": n_used,
        "ci_replicates": min((len(row) for row in replicates), default=0),
        "ci_few_days": [
            d["data"] for d in datasets if d["data"] in versus and d["bootstrap_days"] < MIN_DAYS
        ],
        "by_dataset": rows,
        "arms": summed_up([one["deployed"][key] for one in datasets]),
        "settled": settled_figures(datasets, key),
    }


def interval_of(replicates: Sequence[Sequence[float | None]]) -> tuple[list[float | None], int]:
    """95 % interval of the geometric mean over data sets, and how many replicates made it.

    Args:
        replicates: Per data set, the logarithm of the cost ratio in each replicate.

    Returns:
        The 2.5 and 97.5 % points over the replicates, each the geometric mean of all data sets. A
        replicate in which one data set's ratio does not exist (a resample in which Harmony or every
        rival misses the rate) is left out, and the second value counts those that are not.
    """
    n = min((len(row) for row in replicates), default=0)
    if n == 0:
        return [None, None], 0
    logs = np.array([row[:n] for row in replicates], dtype=float)
    means = logs[:, np.isfinite(logs).all(axis=0)].mean(axis=0)
    if means.size == 0:
        return [None, None], 0
    low, high = np.exp(np.quantile(means, [0.025, 0.975]))
    return [number(float(low)), number(float(high))], int(means.size)


def _known(rows: Mapping[str, Mapping[str, Any]], field: str) -> dict[str, float]:
    return {name: row[field] for name, row in rows.items() if row[field] is not None}


def _ratio(part: float | None, whole: float | None) -> float | None:
    """A ratio of positive figures; None where one is not."""
    return number(part / whole) if part and whole else None


def _least(values: Mapping[str, float | None], names: Sequence[str]) -> float | None:
    known = [v for name in names if (v := values.get(name)) is not None]
    return min(known) if known else None


def _churn(deployed: Mapping[str, Any], name: str) -> float | None:
    found: float | None = deployed.get(name, {}).get("churn_per_day")
    return found
