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
N_SPLITS = 5


@dataclass(frozen=True, slots=True)
class ResponseArm:
    """A form that is fitted.

    Attributes:
        name: What the report calls it.
        loads: Which loads it sees.
        sharing: Sharing exponent that is given; None: fitted.
    """

    name: str
    loads: tuple[str, ...]
    sharing: float | None = None


_THREE = LOADS[:3]
ARMS = (
    *(ResponseArm(load, (load,)) for load in LOADS),
    ResponseArm("input and output", LOADS[1:3]),
    ResponseArm("requests, input, output", _THREE),
    ResponseArm("the same, sharing 1", _THREE, 1.0),
    ResponseArm("the same, tightest binds", _THREE, math.inf),
    ResponseArm("all four", LOADS),
)


def response_report(table: ResponseTable, seed: int) -> dict[str, Any]:
    """Fit every arm to half of the points of one replica and judge it by the other half.

    Figures are means over `N_SPLITS` random halves; the fits shown are those to all points. The
    last part judges that fit by the points of several replicas.
    """
    is_single = table.replicas == 1
    single, pooled = table.rows(is_single), table.rows(~is_single)
    splits = [make_rng(seed, "half", at).permutation(len(single)) for at in range(N_SPLITS)]
    rows = [_arm_row(arm, single, splits) for arm in ARMS]
    return {
        "table": dict(table.about),
        "points": len(single),
        "near": list(NEAR),
        "points_near": int(_near(single.miss).sum()),
        "arms": rows,
        "pooled": _pooled(single, pooled) if len(pooled) else None,
        "minutes": _minute_scatter(single),
    }


def _arm_row(arm: ResponseArm, table: ResponseTable, splits: Sequence[Any]) -> dict[str, Any]:
    half = len(table) // 2
    found = []
    for order in splits:
        fitted, judged = table.rows(order[:half]), table.rows(order[half:])
        response = fit_use(fit_data(fitted, arm.loads), arm.sharing)
        found.append(_errors(response, judged, arm.loads))
    whole = fit_use(fit_data(table, arm.loads), arm.sharing)
    return {
        "arm": arm.name,
        **{name: float(np.mean([one[name] for one in found])) for name in found[0]},
        "capacity": dict(zip(arm.loads, whole.capacity.tolist(), strict=True)),
        "sharing": whole.sharing if len(arm.loads) > 1 else None,
        "slope": whole.slope,
        "floor": whole.floor,
        "concentration": whole.concentration,
    }


def fit_data(table: ResponseTable, loads: Sequence[str]) -> FitData:
    """Points of a table, as a fit takes them."""
    return FitData(table.loads(loads), table.missed.sum(1), table.requests.sum(1))


def _errors(
    response: UseResponse, table: ResponseTable, loads: Sequence[str]
) -> Mapping[str, float]:
    true, expected = table.miss, response.miss(table.loads(loads))
    near = _near(true)
    variance = float(((true - true.mean()) ** 2).mean())
    # By which factor the load is off at which the response expects what was missed: so many
    # replicas too many or too few.
    with np.errstate(invalid="ignore"):
        off = response.log_use(table.loads(loads)) - response.log_use_at(true)
    known = near & np.isfinite(off)
    return {
        "mae": float(np.abs(expected - true).mean()),
        "explained": 1.0 - float(((expected - true) ** 2).mean()) / variance,
        "mae_near": float(np.abs(expected - true)[near].mean()),
        "bias_near": float((expected - true)[near].mean()),
        "load_off_near": float(np.expm1(np.abs(off[known]).mean())) if known.any() else math.nan,
    }


def _near(miss: FloatArray) -> Any:
    return (miss >= NEAR[0]) & (miss <= NEAR[1])


def _pooled(single: ResponseTable, pooled: ResponseTable) -> dict[str, Any]:
    """What the response of one replica expects of several at the same load, and what they miss."""
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
