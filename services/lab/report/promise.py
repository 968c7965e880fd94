"""The promise in the report: who kept it, in a headline, a tile and service by service."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtrc

from services.lab.report.data import Felt, PoolFigures, ReportData, label_of, percent
from services.simulator import PolicyScore

COMPARED = ("harmony", "hpa", "trailing_percentile")
"""Policies that promise something, Harmony first."""
_CHANGED = 0.005


def headline(data: ReportData) -> str:
    """The promise first, then what it cost."""
    ours, hpa = data.score("harmony"), data.score("hpa")
    hours = f"{data.simulated_hours:g} hours of {len(data.workloads)} GPU services"
    if ours is None or hpa is None or hpa.cost_usd <= 0:
        return hours
    saved = 1 - ours.cost_usd / hpa.cost_usd
    cost = f"{abs(saved):.1%} {'less' if saved >= 0 else 'more'} cost than a tuned HPA"
    over = _over(data)
    if over:
        n_ours, *rivals = over
        others = f" ({', '.join(rivals)})" if rivals else ""
        return f"{hours}: {n_ours} broke the promise of {_promise(data)}{others}, at {cost}"
    claim = f"{hours}: {cost}"
    if ours.violation_rate > data.epsilon:
        claim += f", but out of SLA for {percent(ours.violation_rate)} of the time"
    return claim


def _over(data: ReportData) -> list[str]:
    """Services over the promise: Harmony's number, then the rivals' in words; empty if unknown."""
    found = []
    for s in _compared(data):
        if s.n_over_promise is None:
            return []
        found.append(f"{'' if s.name == 'harmony' else _short(s) + ' '}{s.n_over_promise}")
    return found


def _compared(data: ReportData) -> list[PolicyScore]:
    found = [data.score(name) for name in COMPARED]
    return [s for s in found if s is not None]


def _short(s: PolicyScore) -> str:
    name = label_of(s.name).removesuffix(" (tuned)")
    return name if name.isupper() else name.lower()


def _promise(data: ReportData) -> str:
    return f"{100 * data.epsilon:g} %"


def promise_tiles(data: ReportData) -> list[dict[str, str]]:
    """What was promised and what came of it, by what requests felt where that is known."""
    ours = data.score("harmony")
    if ours is None:
        return []
    more = f"promised at most {_promise(data)}"
    tile = {
        "name": "Out of SLA, felt" if data.is_felt else "Out of SLA, measured",
        "figure": percent(ours.violation_rate),
        "css": "good" if ours.violation_rate <= data.epsilon else "bad",
        "more": more,
    }
    if data.felt is None:
        return [tile]
    tile["more"] = f"measured by Harmony {percent(data.felt.measured_mean)}; {more}"
    over = {
        "name": f"Services over the promise of {_promise(data)}",
        "figure": f"{ours.n_over_promise} of {len(data.workloads)}",
        "css": "bad" if ours.n_over_promise else "good",
        "more": ", ".join(_over(data)[1:]),
    }
    return [over, tile]


def promise_rows(data: ReportData) -> list[dict[str, str]]:
    """Each service's rates by what requests felt, Harmony's worst first; empty where not felt."""
    ours, felt = data.score("harmony"), data.felt
    if ours is None or felt is None:
        return []
    rows = []
    for i in np.argsort(-ours.workload_violation_rate, kind="stable"):
        row = {
            "name": data.workloads[i],
            "bears": _bears(data, felt, int(i)),
            "measured": percent(float(felt.measured[i])),
        }
        for name in COMPARED:
            s = data.score(name)
            rate = float("nan") if s is None else float(s.workload_violation_rate[i])
            row[name] = percent(rate)
            row[f"{name}_css"] = "bad" if rate > data.epsilon else ""
        rows.append(row)
    return rows


def pool_rows(data: ReportData) -> list[dict[str, str]]:
    """Each pool of the services that have several."""
    return [
        {
            "service": one.service,
            "pool": one.pool,
            "hardware": one.hardware,
            "load": one.load,
            "bears": _pool_bears(one),
            **{s.name: f"{one.gpu_hours[s.name]:,.0f}" for s in data.ordered()},
        }
        for one in data.pools
    ]


def _bears(data: ReportData, felt: Felt, i: int) -> str:
    """What a replica of a service bears over what is stated, of each of its pools."""
    pools = [one for one in data.pools if one.service == data.workloads[i]]
    if pools:
        return ", ".join(f"{one.pool} {_pool_bears(one)}" for one in pools)
    return _ratio(float(felt.first_ratio[i]), float(felt.last_ratio[i]))


def _pool_bears(pool: PoolFigures) -> str:
    if pool.first_ratio is None or pool.last_ratio is None:
        return "–"
    return _ratio(pool.first_ratio, pool.last_ratio)


def _ratio(first: float, last: float) -> str:
    return f"{first:.2f}" if abs(last - first) < _CHANGED else f"{first:.2f} to {last:.2f}"


def over_by_luck(n_steps: int, epsilon: float) -> float:
    """Chance that more than `epsilon` of `n_steps` are bad if each is so with that chance alone."""
    return float(bdtrc(np.floor(epsilon * n_steps + 1e-9), n_steps, epsilon))


def luck_line(data: ReportData) -> str:
    """How many services a promise kept exactly would leave over it in so few steps."""
    n_steps = data.needed_gpus.size
    share = over_by_luck(n_steps, data.epsilon)
    return (
        f"{n_steps} steps are few: a service kept at exactly {_promise(data)}, its bad steps "
        f"independent, is over the promise with a chance of {share:.0%}."
    )
