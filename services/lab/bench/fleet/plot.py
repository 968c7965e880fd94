"""Plot of the curves: CPU by stage against the size of the fleet and against days of history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.backtest.frontier_plot import save
from services.lab.bench.fleet.records import STAGES

_COLOURS = ("tab:cyan", "tab:green", "tab:blue", "tab:orange", "tab:purple", "tab:red", "0.6")


def plot_curves(points: Sequence[Mapping[str, Any]], path: Path) -> None:
    """CPU of a workload by stage, stacked, and of all processes; a panel for each curve."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    curves = by_curve(points)
    for axis, (name, found) in zip(
        figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
    ):
        places = [point[name] for point in found]
        stages = [[point["cpu_s_per_1000"][stage] for point in found] for stage in STAGES]
        axis.stackplot(places, stages, labels=STAGES, colors=_COLOURS, alpha=0.8)
        totals = [point["cpu_s_per_1000_total"] for point in found]
        axis.plot(places, totals, "ko-", markersize=3, linewidth=1, label="all processes")
        axis.set(xlabel=name.replace("_", " "), ylim=(0, None))
        axis.set_title(_title(name, found[0]), loc="left", fontsize=9)
        if name == "workloads" and len(places) > 1:
            axis.set_xscale("log")
        axis.grid(alpha=0.2)
    first = figure.axes[0]
    first.set_ylabel("CPU-ms a workload and step")
    first.legend(fontsize=7)
    save(figure, path)


def by_curve(points: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Points along workloads and along days, each with the commonest value of the other."""
    found = {}
    for name, other in (("workloads", "history_days"), ("history_days", "workloads")):
        values = [point[other] for point in points]
        fixed = max(values, key=lambda value: (values.count(value), -value))
        along = sorted((p for p in points if p[other] == fixed), key=lambda point: point[name])
        if name == "workloads" or len(along) > 1:
            found[name] = along
    return found


def _title(name: str, point: Mapping[str, Any]) -> str:
    step = f"{point['step_s']} s steps"
    if name == "workloads":
        return f"{point['history_days']:g} days of history, {step}"
    return f"{point['workloads']:,} workloads, {step}"
