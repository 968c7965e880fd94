"""Frontier plots: cost against the violation rate, one panel per data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from services.backtest.frontier_plot import MAX_PANELS, Panel, draw
from services.lab.bench.decide.summary import HPAS
from services.simulator.policies.rivals import HARMONY

N_BEST = 3


def plot_frontiers(document: Mapping[str, Any], path: Path) -> None:
    """Harmony, its three best rivals and HPA on each data set, at most twelve of them."""
    draw([panel_of(one) for one in document["datasets"][:MAX_PANELS]], path)


def panel_of(dataset: Mapping[str, Any]) -> Panel:
    """A data set's part of a document as a panel."""
    keys = sorted(dataset["matched"], key=float)
    names = list(dict.fromkeys([HARMONY, *best_rivals(dataset), *HPAS[:1]]))
    curves = {
        name: [
            (rate, cost) for rate, cost, _ in dataset["frontier"][name] if None not in (rate, cost)
        ]
        for name in names
        if name in dataset["frontier"]
    }
    deployed = {
        name: [
            (one["rate"], one["cost_ratio"])
            for key in keys
            if (one := dataset["deployed"][key].get(name))
            and None not in (one["rate"], one["cost_ratio"])
        ]
        for name in curves
    }
    return Panel(dataset["data"], curves, deployed, [float(key) for key in keys])


def best_rivals(dataset: Mapping[str, Any]) -> list[str]:
    """The rivals with the least matched cost, over the promises; one that misses a rate is last."""

    def cost(name: str) -> float:
        found = [row[name] for row in dataset["matched"].values()]
        return float(np.mean([np.inf if value is None else np.log(value) for value in found]))

    return sorted(dataset["rivals"], key=cost)[:N_BEST]
