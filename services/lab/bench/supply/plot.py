"""Frontiers of node-hours against the time out of SLA, a panel for each fleet and start-up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.backtest.frontier_plot import MAX_PANELS, Panel, Point, draw
from services.lab.bench.supply.options import POLICIES, PROMISED
from services.lab.bench.supply.run import SupplyCell
from services.simulator.policies.history import duration_text
from services.simulator.policies.rivals import HARMONY


def plot_supply(cells: Sequence[SupplyCell], path: Path) -> None:
    """Write the first twelve fleets to a PNG."""
    draw([panel_of(cell) for cell in cells[:MAX_PANELS]], path)


def panel_of(cell: SupplyCell) -> Panel:
    """One fleet at one start-up; marked is Harmony at the promises that it was told."""
    curves = {policy: points(cell, policy) for policy in POLICIES if cell.of(policy)}
    own = {HARMONY: curves[HARMONY]} if HARMONY in curves else {}
    title = f"{cell.source} {cell.seed}, node start-up {duration_text(cell.startup_s)}"
    return Panel(title, curves, own, [PROMISED], cost_label="node-hours")


def points(cell: SupplyCell, policy: str) -> list[Point]:
    """Rate and node-hours of each setting."""
    return [
        (one.figures.rate, one.figures.node_hours)
        for one in cell.of(policy)
        if np.isfinite(one.figures.rate)
    ]
