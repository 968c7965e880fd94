"""How well the response that Harmony decides by describes an engine, from a table of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.kernel.clock import make_rng
from services.lab.arena.requests import FloatArray
from services.lab.arena.table import LOADS, ResponseTable
from services.lab.arena.use_fit import FitData, UseResponse, fit_use

NEAR = (0.01, 0.05)
"""Shares of misses about which promises are made."""
WITHIN = 0.2
"""A service that is kept near its promise sees no more: the second report has such points alone."""
N_SPLITS = 3


@dataclass(frozen=True, slots=True)
class ResponseArm:
    """A form that is fitted.

    Attributes:
        name: What the report calls it.
        loads: Which loads it sees.
            sharing: Sharing exponent that is given; None: fitted.
        is_by_goal: Each goal has a response of its own; a request that misses either is missed.
    """

    name: str
    loads: tuple[str, ...]
    sharing: float | None = None
    is_by_goal: bool = False


_THREE = LOADS[:3]
ARMS = (
    *(ResponseArm(load, (load,)) for load in LOADS),
    ResponseArm("input and output", LOADS[1:3]),
    ResponseArm("requests, input, output", _THREE),
    ResponseArm("the same, sharing 1", _THREE, 1.0),
    ResponseArm("the same, tightest binds", _THREE, math.inf),
    ResponseArm("all four", LOADS),
    ResponseArm("all four, each goal by itself", LOADS, is_by_goal=True),
)


def response_report(table: ResponseTable, seed: int) -> dict[str, Any]:
    """Fit every arm to half of the points of one replica and judge it by the other half.

    Figures are means over `N_SPLITS` random halves, once of all points and once of those that miss
    at most `WITHIN`; the fits shown are those to all points of the part. The rest judges the second
    part's fit by the points of several replicas, and says how single minutes scatter.
    """
    is_single = table.replicas == 1
    single, pooled = table.rows(is_single), table.rows(~is_single)
    within = single.rows(single.miss <= WITHIN)
    return {
        "table": dict(table.about),
        "near": list(NEAR),
        "parts": {
            "all": _part(single, seed),
            f"at most {WITHIN:.0%} missed": _part(within, seed),
        },
        "pooled": _pooled(within, pooled) if len(pooled) else None,
        "minutes": _minute_scatter(single),
    }


def _part(table: ResponseTable, seed: int) -> dict[str, Any]:
    splits = [make_rng(seed, "half", at).permutation(len(table)) for at in range(N_SPLITS)]
    return {
        "points": len(table),
        "points_near": int(_near(table.miss).sum()),
        "arms": [_arm_row(arm, table, splits) for arm in ARMS],
    }


def _arm_row(arm: ResponseArm, table: ResponseTable, splits: Sequence[Any]) -> dict[str, Any]:
    half = len(table) // 2
    found = []
    for order in splits:
        fitted, judged = table.rows(order[:half]), table.rows(order[half:])
        found.append(_errors(_fitted(arm, fitted), judged, arm.loads))
    responses = _fitted(arm, table)
    return {
        "arm": arm.name,
        **{name: float(np.mean([one[name] for one in found])) for name in found[0]},
        "responses": [
            {
                "capacity": dict(zip(arm.loads, one.capacity.tolist(), strict=True)),
                "sharing": one.sharing if len(arm.loads) > 1 else None,
                "slope": one.slope,
                "floor": one.floor,
                "concentration": one.concentration,
            }
            for one in responses
        ],
    }


def _fitted(arm: ResponseArm, table: ResponseTable) -> tuple[UseResponse, ...]:
    """One response, or one per goal: time to the first token, time per token."""
    counts = (table.missed_ttft, table.missed_tpot) if arm.is_by_goal else (table.missed,)
    loads, total = table.loads(arm.loads), table.requests.sum(1)
    return tuple(fit_use(FitData(loads, one.sum(1), total), arm.sharing) for one in counts)


def fit_data(table: ResponseTable, loads: Sequence[str]) -> FitData:
    """Points of a table, as a fit takes them."""
    return FitData(table.loads(loads), table.missed.sum(1), table.requests.sum(1))


def _errors(
    responses: Sequence[UseResponse], table: ResponseTable, loads: Sequence[str]
) -> Mapping[str, float]:
    true, values = table.miss, table.loads(loads)
    expected = 1.0 - np.prod([1.0 - one.miss(values) for one in responses], axis=0)
    near = _near(true)
    variance = float(((true - true.mean()) ** 2).mean())
    return {
        "mae": float(np.abs(expected - true).mean()),
        "explained": 1.0 - float(((expected - true) ** 2).mean()) / variance,
        "mae_near": float(np.abs(expected - true)[near].mean()),
        "bias_near": float((expected - true)[near].mean()),
    }


def _near(miss: FloatArray) -> Any:
    return (miss >= NEAR[0]) & (miss <= NEAR[1])


def _pooled(single: ResponseTable, pooled: ResponseTable) -> dict[str, Any]:
    """What the response of one replica expects of several at the same loads; what they miss."""
    response = fit_use(fit_data(single, _THREE))
    expected = response.miss(pooled.loads(_THREE))
    near = _near(expected)
    return {
        "replicas": int(pooled.replicas[0]),
        "points": len(pooled),
        "points_near": int(near.sum()),
        "expected_near": float(expected[near].mean()) if near.any() else math.nan,
        "missed_near": float(pooled.miss[near].mean()) if near.any() else math.nan,
    }


def _minute_scatter(table: ResponseTable) -> dict[str, float]:
    """Spread of single minutes about their point, for points near; over what chance would give."""
    rows = table.rows(_near(table.miss))
    share = rows.missed / np.maximum(rows.requests, 1)
    mean = rows.miss[:, None]
    chance = np.sqrt((mean * (1 - mean) / np.maximum(rows.requests, 1)).mean())
    spread = float(np.sqrt(((share - mean) ** 2).mean()))
    return {"standard_deviation": spread, "of_independent_requests": float(chance)}
