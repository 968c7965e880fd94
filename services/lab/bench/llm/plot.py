"""Frontiers: GPU-hours against the share of requests that missed, one panel per trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.backtest.frontier_plot import MAX_PANELS, Panel, draw
from services.lab.bench.llm.cells import Cell, Part
from services.lab.bench.llm.families import HARMONY, ORACLE


def plot_cells(cells: Sequence[Cell], goodputs: Sequence[float], path: Path) -> None:
    """At most twelve of them; Harmony's promises are marked where they came to."""
    draw([panel_of(cell, goodputs) for cell in cells[:MAX_PANELS]], path)


def panel_of(cell: Cell, goodputs: Sequence[float]) -> Panel:
    """One trace at one start-up."""
    curves = {
        policy: [
            (1.0 - score.goodput, score.gpu_hours)
            for score in cell.points(policy, Part.WHOLE, cell.seeds).values()
        ]
        for policy in sorted(cell.policies, key=lambda name: (name != HARMONY, name != ORACLE))
    }
    return Panel(
        f"{cell.trace}, start-up {cell.startup_s:g} s",
        curves,
        deployed={name: points for name, points in curves.items() if name == HARMONY},
        promises=[1.0 - goodput for goodput in goodputs],
        cost_label="GPU-hours",
        rate_label="share of requests that missed a goal",
    )
