"""Plot of a month's cost under each policy, next to the share of time out of SLA."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.backtest.frontier_plot import OWN_COLOUR, save
from services.lab.bench.month.report import parts, title
from services.simulator.policies.rivals import HARMONY

BROKEN_COLOUR, COLOUR = "tab:red", "0.6"


def plot_month(document: Mapping[str, Any], path: Path) -> None:
    """One row of two panels for each source and the total; red is out of SLA beyond the promise."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = parts(document)
    figure = Figure(figsize=(10, 2.6 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    for part, (left, right) in zip(
        shown, figure.subplots(len(shown), 2, squeeze=False), strict=True
    ):
        names = list(part["policies"])[::-1]
        costs = [part["policies"][name]["cost_usd"] / 1000.0 for name in names]
        rates = [part["policies"][name]["violation_rate"] for name in names]
        left.barh(names, costs, color=[OWN_COLOUR if n == HARMONY else COLOUR for n in names])
        left.set_title(title(part, document["days"]), loc="left", fontsize=8)
        left.set_xlabel(f"thousand USD in {document['days']} days")
        colours = [_colour(rate, document["promise"]) for rate in rates]
        right.barh(names, [100 * (rate or 0.0) for rate in rates], color=colours)
        for y, rate in enumerate(rates):
            if rate is None:
                right.text(0.0, y, " unknown", va="center", fontsize=8)
        right.axvline(100 * document["promise"], color="black", linewidth=1, linestyle="--")
        right.set(xlabel="% of time out of SLA, dashed: promise", yticklabels=[])
    save(figure, path)


def _colour(rate: float | None, promise: float) -> str:
    return BROKEN_COLOUR if rate is not None and rate > promise else COLOUR
