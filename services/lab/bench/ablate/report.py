"""Tables of ablations: what each arm did, and which correctors earn their place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from services.kernel.errors import InvalidInput
from services.lab.bench.ablate.decider_arms import DECIDER_ARMS
from services.lab.bench.ablate.effects import (
    BARS,
    Decisions,
    Document,
    Effect,
    decisions,
    forecasts,
)
from services.lab.bench.ablate.forecast_arms import FORECAST_ARMS
from services.simulator.fleet.arrays import FloatArray

Row = dict[str, object]
ABOUT: Mapping[str, str] = {
    **{name: arm.about for name, arm in DECIDER_ARMS.items()},
    **{name: arm.about for name, arm in FORECAST_ARMS.items()},
}
UNITS: Mapping[str, str] = {
    "cost": "cost at its rate, %",
    "gap": "gap, points",
    "crps": "CRPS, %",
    "tail": "99 % loss, %",
    "coverage_95": "off 95 %, points",
    "coverage_99": "off 99 %, points",
}


def promises(documents: Sequence[Document]) -> list[float]:
    """Promises that all documents were run at."""
    shared = set.intersection(*(set(d["epsilons"]) for d in documents))
    return sorted(shared)


def decision_rows(documents: Sequence[Document], epsilon: float) -> list[Row]:
    """One row per arm at one promise; figures of change are the arm's less Harmony's."""
    return [
        {
            "arm": name,
            "left out": ABOUT.get(name, ""),
            "sets": len(documents),
            "it changes": arm.n_differ,
            "out of SLA": f"{arm.rate.mean():.2%}",
            "gap": f"{arm.gap.mean():.2f}",
            "cost / harmony": f"{np.exp(np.log(arm.cost).mean()):.3f}",
            "churn / harmony": f"{_middle(arm.churn):.2f}",
            **_effect_cells(arm.effects),
        }
        for name, arm in decisions(documents, epsilon).items()
    ]


def forecast_rows(documents: Sequence[Document]) -> list[Row]:
    """One row per arm of the forecaster."""
    return [
        {
            "arm": name,
            "left out": ABOUT.get(name, ""),
            "sets": len(documents),
            **_effect_cells(effects),
        }
        for name, effects in forecasts(documents).items()
    ]


def _middle(ratios: FloatArray) -> float:
    """Geometric mean of the known ratios above zero."""
    known = ratios[ratios > 0]
    return float(np.exp(np.log(known).mean())) if known.size else float("nan")


def _effect_cells(effects: Mapping[str, Effect]) -> Row:
    cells: Row = {}
    for name, effect in effects.items():
        low, high = effect.interval()
        cells[UNITS[name]] = f"{effect.mean:+.2f} ({low:+.2f} to {high:+.2f})"
        if np.isfinite(BARS[name].on_one):
            worse, better = effect.sets_above(BARS[name]), effect.sets_below(BARS[name])
            cells[f"{name}: worse, better"] = f"{worse}, {better}"
    return cells


def verdict_rows(documents: Sequence[Document]) -> list[Row]:
    """Which correctors earn their place, by which figures."""
    gains: dict[str, list[str]] = {}
    for name, where, effects in _effects(documents):
        own = gains.setdefault(name, [])
        for figure, effect in effects.items():
            if effect.is_gain(BARS[figure]):
                own.append(f"{UNITS[figure]}{where}")
    return [
        {"arm": name, "left out": ABOUT.get(name, ""), "it earns": "; ".join(own) or "nothing"}
        for name, own in gains.items()
    ]


def _effects(
    documents: Sequence[Document],
) -> Iterator[tuple[str, str, Mapping[str, Effect]]]:
    """Arm, place and effects, of decisions at every promise, then of forecasts."""
    for epsilon in promises(documents):
        for name, arm in decisions(documents, epsilon).items():
            yield name, f" at {100 * epsilon:g} %", arm.effects
    for name, effects in forecasts(documents).items():
        yield name, "", effects


def set_rows(documents: Sequence[Document], epsilon: float, name: str) -> list[Row]:
    """One arm on every data set."""
    arm: Decisions = decisions(documents, epsilon)[name]
    return [
        {
            "data": document["data"],
            "out of SLA": f"{arm.rate[k]:.2%}",
            "cost / harmony": f"{arm.cost[k]:.3f}",
            "churn / harmony": f"{arm.churn[k]:.2f}",
            **{UNITS[f]: _with_interval(effect, k) for f, effect in arm.effects.items()},
        }
        for k, document in enumerate(documents)
    ]


def _with_interval(effect: Effect, at: int) -> str:
    low, high = np.quantile(effect.by_set[at, 1:], [0.005, 0.995])
    return f"{effect.by_set[at, 0]:+.2f} ({low:+.2f} to {high:+.2f})"


def load_documents(paths: Sequence[Path]) -> list[Document]:
    """Documents of `harmony bench ablate --json`, in the order of their data sets.

    Raises:
        InvalidInput: A file is none, or a data set appears twice.
    """
    found: dict[str, Document] = {}
    for path in paths:
        try:
            document = json.loads(path.read_text())
            name = document["data"]
            document["yard"], document["forecast"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{path}: no whole document of `bench ablate` ({error})") from error
        if name in found:
            raise InvalidInput(f"{name}: more than one run; each data set counts once")
        found[name] = document
    return [found[name] for name in sorted(found)]
