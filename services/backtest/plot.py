"""The frontier plot of a backtest."""

from __future__ import annotations

from pathlib import Path

from services.backtest.frontier_plot import Panel, draw, svg
from services.backtest.study import Study


def plot_study(study: Study, path: Path) -> None:
    """Cost against violation rate of each policy; marks are the runs as deployed."""
    draw([_panel(study)], path)


def svg_of_study(study: Study) -> str:
    """The same as an `<svg>` element."""
    return svg([_panel(study)])


def _panel(study: Study) -> Panel:
    curves = {
        one.name: list(zip(one.rate.tolist(), one.cost_usd.tolist(), strict=True))
        for one in study.frontiers
    }
    deployed = {
        name: [
            (s.violation_rate, s.cost_usd)
            for r in study.results
            for s in r.scores
            if s.name == name
        ]
        for name in curves
    }
    promises = [result.epsilon for result in study.results]
    title = f"{study.fleet.label.split(':')[0]}, {study.fleet.replay_hours:g} h"
    return Panel(title, curves, deployed, promises, "cost, USD")
