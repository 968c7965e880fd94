"""The figures of a race as a document, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.lab.bench.decide.figures import epsilon_key, geometric_mean, number
from services.lab.bench.race.run import RaceResult
from services.lab.bench.race.score import (
    RacePoints,
    RaceYard,
    TunedPoint,
    fleet_choice,
    points,
    service_choice,
    service_points,
)
from services.simulator.native_run import NativeRun
from services.simulator.policies.history import duration_text
from services.simulator.policies.rivals import HARMONY

Json = dict[str, Any]
Row = dict[str, object]


def race_document(result: RaceResult) -> Json:
    """One race: data, lengths of time, and every policy's figures at every promise."""
    task = result.task
    runs = {**result.rivals, **result.own}
    fronts = {name: points(run, result.yard) for name, run in runs.items()}
    return {
        "data": task.decide.forecast.data,
        "workloads": task.course.n_workloads,
        "counted_steps": task.decide.course.n_steps - task.decide.n_prelude,
        "step_s": task.grid.step_s,
        "sub_s": task.grid.sub_s,
        "bridge": str(task.grid.bridge),
        "lead_s": task.lead_s,
        "seed": task.seed,
        "promises": {
            epsilon_key(epsilon): _promise(result, fronts, epsilon) for epsilon in result.epsilons
        },
    }


def _promise(result: RaceResult, fronts: Mapping[str, RacePoints], epsilon: float) -> Json:
    rivals = {name: fronts[name] for name in result.rivals}
    found: Json = {
        "policies": {
            name: _policy(run, result.yard, fronts[name], epsilon)
            for name, run in {**result.rivals, **result.own}.items()
        },
        "deployed": {
            name: _tuned(_deployed_point(run, result, epsilon))
            for name, run in result.deployed.items()
        },
    }
    best = _least({name: one.at_rate(epsilon) for name, one in rivals.items()})
    by_service = _least(
        {name: found["policies"][name]["matched_by_service"] for name in result.rivals}
    )
    found["best_rival"], found["best_rival_by_service"] = best, by_service
    found["own"] = {name: _against(fronts[name], rivals, best, epsilon) for name in result.own}
    return found


def _policy(run: NativeRun, yard: RaceYard, front: RacePoints, epsilon: float) -> Json:
    return {
        "matched": number(front.at_rate(epsilon)),
        "matched_unserved": number(front.unserved_at_rate(epsilon)),
        "matched_by_service": number(service_points(run, yard).at_rate(epsilon)),
        "fleet_tuned": _tuned(fleet_choice(run, yard, epsilon)),
        "service_tuned": _tuned(service_choice(run, yard, epsilon)),
    }


def _tuned(point: TunedPoint) -> Json:
    return {
        "rate": number(point.rate),
        "cost": number(point.cost),
        "unserved": number(point.unserved),
        "is_kept": point.is_kept,
    }


def _deployed_point(run: NativeRun, result: RaceResult, epsilon: float) -> TunedPoint:
    g, front = result.epsilons.index(epsilon), points(run, result.yard)
    return TunedPoint(
        float(front.rate[g]), float(front.cost[g]), float(front.unserved[g]), is_kept=True
    )


def _against(
    own: RacePoints, rivals: Mapping[str, RacePoints], best: Json | None, epsilon: float
) -> Json:
    """An arm of Harmony against the best rival: at equal violation, and at equal unserved demand.

    The share of unserved demand is that of the arm's own matched point. `closed` is the part of the
    best rival's cost above the oracle's that the arm saves.
    """
    cost, unserved = own.at_rate(epsilon), own.unserved_at_rate(epsilon)
    equal = _least({name: one.at_unserved(unserved) for name, one in rivals.items()})
    room = best["cost"] - 1.0 if best else np.nan
    return {
        "ratio": number(cost / best["cost"]) if best else None,
        "closed": number((best["cost"] - cost) / room) if best and room > 0 else None,
        "unserved": number(unserved),
        "ratio_at_unserved": number(cost / equal["cost"]) if equal else None,
        "rival_at_unserved": equal["name"] if equal else None,
    }


def _least(costs: Mapping[str, float | None]) -> Json | None:
    """The policy with the least cost; None where none has one."""
    reached = {name: c for name, c in costs.items() if c is not None and np.isfinite(c)}
    if not reached:
        return None
    name = min(reached, key=lambda n: reached[n])
    return {"name": name, "cost": number(reached[name])}


def room_rows(documents: Sequence[Json], key: str) -> list[Row]:
    """What the best rival costs over the oracle, by data and lead time: the room there is."""
    rows: list[Row] = []
    for one in documents:
        found = one["promises"][key]
        best, by_service = found["best_rival"], found["best_rival_by_service"]
        policy = found["policies"][best["name"]] if best else None
        rows.append(
            {
                **_which(one),
                "best rival": best["name"] if best else "none reaches it",
                "over the oracle": _figure(best["cost"] if best else None),
                "unserved": _share(policy["matched_unserved"] if policy else None),
                "tuned by service": f"{by_service['name']} {_figure(by_service['cost'])}"
                if by_service
                else "",
            }
        )
    return rows


def own_rows(documents: Sequence[Json], key: str) -> list[Row]:
    """Harmony's arms against the best rival of each race."""
    return [
        {
            **_which(one),
            "arm": name,
            "over the oracle": _figure(one["promises"][key]["policies"][name]["matched"]),
            "/ best rival": _figure(arm["ratio"]),
            "of the room": _share(arm["closed"], 0),
            "unserved": _share(arm["unserved"]),
            "/ best at equal unserved": _figure(arm["ratio_at_unserved"]),
        }
        for one in documents
        for name, arm in one["promises"][key]["own"].items()
    ]


def deployed_rows(documents: Sequence[Json], key: str) -> list[Row]:
    """Harmony told the promise, and the best rivals as tuned on the training part."""
    rows: list[Row] = []
    for one in documents:
        found = one["promises"][key]
        entries = [(f"{name}, not tuned", point) for name, point in found["deployed"].items()]
        best, by_service = found["best_rival"], found["best_rival_by_service"]
        if best:
            name = best["name"]
            entries.append((f"{name}, by fleet", found["policies"][name]["fleet_tuned"]))
        if by_service:
            name = by_service["name"]
            entries.append((f"{name}, by service", found["policies"][name]["service_tuned"]))
        rows += [
            {
                **_which(one),
                "policy": policy,
                "out of SLA": _share(point["rate"]),
                "over the oracle": _figure(point["cost"]),
                "unserved": _share(point["unserved"]),
            }
            for policy, point in entries
        ]
    return rows


def verdict_rows(documents: Sequence[Json], key: str) -> list[Row]:
    """Means over races by lead time; both bridges must agree, so the worse one counts too.

    They are over the races in which Harmony reaches the rate. One that it loses by not reaching it
    has no ratio: `reached` counts those that a rival reaches, and `worst` has no bound. Where
    rivals alone were raced, what the best one costs is over all.
    """
    return [
        _verdict_row(lead_s, [d["promises"][key] for d in documents if d["lead_s"] == lead_s])
        for lead_s in sorted({one["lead_s"] for one in documents})
    ]


def _verdict_row(lead_s: float, races: Sequence[Json]) -> Row:
    has_harmony = any(HARMONY in one["own"] for one in races)
    raced = [one for one in races if HARMONY in one["own"] and one["best_rival"]]
    both = [one for one in raced if one["own"][HARMONY]["ratio"] is not None]
    arms = [one["own"][HARMONY] for one in both]
    rivals = [one["best_rival"] for one in (both if has_harmony else races)]
    unserved = [a["ratio_at_unserved"] for a in arms if a["ratio_at_unserved"] is not None]
    closed = [arm["closed"] for arm in arms if arm["closed"] is not None]
    worst = _figure(max((arm["ratio"] for arm in arms), default=None))
    return {
        "lead time": duration_text(lead_s),
        "races": len(races),
        "reached": f"{len(both)} of {len(raced)}" if has_harmony else "",
        "best rival over the oracle": _figure(
            geometric_mean(rival["cost"] for rival in rivals if rival)
        ),
        "harmony / best rival": _figure(geometric_mean(arm["ratio"] for arm in arms)),
        "worst": "not reached" if len(both) < len(raced) else worst,
        "of the room": _share(float(np.mean(closed)) if closed else None, 0),
        "at equal unserved": _figure(geometric_mean(unserved)),
    }


def _which(one: Json) -> Row:
    bridge = "" if one["bridge"] == "none" else f", {one['bridge']} {one['seed']}"
    step = f"{duration_text(one['step_s'])} of {duration_text(one['sub_s'])}"
    return {
        "data": one["data"],
        "step of sub-steps": f"{step}{bridge}",
        "lead time": duration_text(one["lead_s"]),
    }


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{100.0 * value:.{digits}f} %"
