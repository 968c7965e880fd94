"""Document of `harmony bench month --json`: scaled figures, savings, and where the promise broke.

A figure that does not exist is null. A saving always carries the remarks that say what it rests on:
GPUs saved by breaking the promise, or by serving worse than the rival, are no saving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.lab.bench.decide.figures import number
from services.lab.bench.month.source import RIVALS, MonthFigures, MonthOptions, MonthSource
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies.rivals import HARMONY
from services.simulator.scoreboard import mean_known

TOTAL = "total"
BROKEN, RIVAL_BROKEN = "harmony_broke_promise", "rival_broke_promise"
SERVED_WORSE, UNKNOWN = "harmony_out_of_sla_more", "rate_unknown"
PER_GPUS = 1000.0
Json = dict[str, Any]


def to_document(sources: Sequence[MonthSource], options: MonthOptions) -> Json:
    """The whole document; the total is over all sources, its rates over all their workloads."""
    return {
        "days": options.days,
        "promise": options.epsilon,
        "seed": options.seed,
        "assumptions": {
            "rates": "share of known time out of SLA, mean over workloads",
            "scaling": "GPU-hours and costs of the measured days, times days over measured days",
            "per_1000_gpus": "over the GPUs that the mean demand fills at the stated capacity",
        },
        "sources": [_source(one, options) for one in sources],
        "total": {
            "data": TOTAL,
            "days_measured": number(min(one.days_measured for one in sources)),
            **_part(sources, options),
        },
    }


def _source(one: MonthSource, options: MonthOptions) -> Json:
    return {
        "data": one.data,
        "kind": one.kind,
        "step_s": one.step_s,
        "days_measured": number(one.days_measured),
        "scale": number(_scale(one, options)),
        "assumptions": dict(one.assumptions),
        **_part([one], options),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """A policy over some sources, scaled to the days.

    Attributes:
        gpu_hours: GPU-hours.
        cost_usd: Their price.
        rates: Share of known time out of SLA of each workload whose demand was known at all.
    """

    gpu_hours: float
    cost_usd: float
    rates: FloatArray

    @property
    def rate(self) -> float:
        """Mean over workloads; NaN where none was known."""
        return mean_known(self.rates)


def _part(sources: Sequence[MonthSource], options: MonthOptions) -> Json:
    """Figures and savings over some sources together."""
    mean_gpus = sum(one.mean_demand_gpus for one in sources)
    scaled = {name: _scaled(sources, name, options) for name in (HARMONY, *RIVALS)}
    policies = {name: _policy(one, options.epsilon) for name, one in scaled.items()}
    if len(sources) == 1:
        for name, found in policies.items():
            found.update(_setting(sources[0].policies[name]))
    return {
        "workloads": sum(one.n_workloads for one in sources),
        "mean_demand_gpus": number(mean_gpus),
        "policies": policies,
        "savings": {
            name: _saving(scaled[HARMONY], scaled[name], mean_gpus, options.epsilon)
            for name in RIVALS
        },
        "broken_on": [
            one.data
            for one in sources
            if mean_known(one.policies[HARMONY].violation_rate) > options.epsilon
        ],
    }


def _scaled(sources: Sequence[MonthSource], name: str, options: MonthOptions) -> _Scaled:
    parts = [(one.policies[name], _scale(one, options)) for one in sources]
    rates = np.concatenate([figures.violation_rate for figures, _ in parts])
    return _Scaled(
        sum(figures.gpu_hours * scale for figures, scale in parts),
        sum(figures.cost_usd * scale for figures, scale in parts),
        rates[np.isfinite(rates)],
    )


def _policy(one: _Scaled, epsilon: float) -> Json:
    is_rated = one.rates.size > 0
    return {
        "gpu_hours": number(one.gpu_hours),
        "cost_usd": number(one.cost_usd),
        "violation_rate": number(one.rate),
        "is_promise_kept": bool(one.rate <= epsilon) if is_rated else None,
        "worst_workload_rate": number(float(one.rates.max())) if is_rated else None,
        "workloads_over_promise": int((one.rates > epsilon).sum()),
        "workloads_rated": int(one.rates.size),
    }


def _setting(figures: MonthFigures) -> Json:
    return {
        "setting": figures.setting,
        "kept_where_chosen": figures.kept_where_chosen,
        "workload_violation_rate": [number(float(rate)) for rate in figures.violation_rate],
    }


def _saving(own: _Scaled, rival: _Scaled, mean_gpus: float, epsilon: float) -> Json:
    """Savings of Harmony against a rival; negative where it cost more."""
    hours, usd = rival.gpu_hours - own.gpu_hours, rival.cost_usd - own.cost_usd
    per = PER_GPUS / mean_gpus if mean_gpus > 0 else float("nan")
    return {
        "gpu_hours": number(hours),
        "cost_usd": number(usd),
        "cost_ratio": number(usd / rival.cost_usd) if rival.cost_usd > 0 else None,
        "gpu_hours_per_1000_gpus": number(hours * per),
        "cost_usd_per_1000_gpus": number(usd * per),
        "remarks": _remarks(own.rate, rival.rate, epsilon),
    }


def _remarks(own: float, rival: float, epsilon: float) -> list[str]:
    """Remarks that a reader must know of a saving before believing it."""
    if not np.isfinite(own + rival):
        return [UNKNOWN]
    found = {
        BROKEN: own > epsilon,
        SERVED_WORSE: own > rival,
        RIVAL_BROKEN: rival > epsilon,
    }
    return [name for name, holds in found.items() if holds]


def _scale(one: MonthSource, options: MonthOptions) -> float:
    return options.days / one.days_measured
