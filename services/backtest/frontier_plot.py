"""Frontier plots: cost against the violation rate, one panel per data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from services.kernel.whole_files import write_whole
from services.simulator.policies.rivals import HARMONY

MAX_PANELS = 12
RATE_RANGE = (5e-4, 0.3)
"""Rates shown; what violates less is drawn at the left edge."""
COST_RANGE = 1.6
"""The cost axis ends at this multiple of the dearest curve's cost at the smallest promise."""
OWN_COLOUR = "tab:blue"
COLOURS = ("tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:olive")
"""Of the others: a policy has one colour in all panels; an eighth shares the first one's."""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves and marks of one panel.

    Attributes:
        title: Above it.
        curves: Policy -> points (violation rate, cost).
        deployed: Policy -> points as deployed.
        promises: Violation rates marked.
        cost_label: Of the cost axis.
        rate_label: Of the other one.
    """

    title: str
    curves: Mapping[str, Sequence[Point]]
    deployed: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    promises: Sequence[float] = ()
    cost_label: str = "cost / oracle's"
    rate_label: str = "share of time out of SLA"


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write the panels to a picture, three in a row."""
    save(_figure(panels), path)


def save(figure: Any, path: Path) -> None:
    """Write a figure as a picture of the kind that its name tells.

    Raises:
        InvalidInput: It cannot be written.
    """
    drawn = BytesIO()
    figure.savefig(drawn, dpi=110, format=path.suffix[1:].lower() or None)
    write_whole(path, drawn.getvalue())


def svg(panels: Sequence[Panel]) -> str:
    """The panels as an `<svg>` element for a page."""
    from matplotlib import rc_context

    written = StringIO()
    with rc_context({"svg.hashsalt": "harmony", "svg.fonttype": "none"}):
        _figure(panels).savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]


def _figure(panels: Sequence[Panel]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_columns = min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    names = dict.fromkeys(name for panel in panels for name in panel.curves if name != HARMONY)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    figure = Figure(figsize=(5.2 * n_columns, 3.9 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for panel, axis in zip(panels, axes, strict=False):
        _draw_panel(panel, axis, {**colours, HARMONY: OWN_COLOUR})
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


def _draw_panel(panel: Panel, axis: Any, colours: Mapping[str, str]) -> None:
    low, high = RATE_RANGE
    for promise in panel.promises:
        axis.axvline(promise, color="0.8", linewidth=1, zorder=0)
    for name, points in panel.curves.items():
        own = name == HARMONY
        front = pareto(points)
        rates = [max(rate, low) for rate, _ in front]
        axis.plot(
            rates,
            [cost for _, cost in front],
            label=name,
            linewidth=2.4 if own else 1.0,
            color=colours[name],
            zorder=3 if own else 2,
        )
        marks = panel.deployed.get(name, ())
        axis.plot(
            [max(rate, low) for rate, _ in marks],
            [cost for _, cost in marks],
            linestyle="none",
            marker="o" if own else "x",
            markersize=7 if own else 5,
            color=colours[name],
            zorder=4,
        )
    axis.set(xscale="log", xlim=(low, high), title=panel.title)
    axis.set(xlabel=panel.rate_label, ylabel=panel.cost_label)
    top = _highest(panel)
    if top:  # nothing may cost anything: an axis from zero to zero has no height
        axis.set_ylim(0, COST_RANGE * top)
    axis.legend(fontsize=7, loc="upper right")


def _highest(panel: Panel) -> float | None:
    """The dearest curve's cost at the smallest promise; at the smallest rate shown without one."""
    edge = min(panel.promises, default=RATE_RANGE[0])
    costs = []
    for points in panel.curves.values():
        reached = [cost for rate, cost in points if rate <= edge]
        if reached:
            costs.append(min(reached))
    return max(costs, default=None)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats in both rate and cost, by rising rate."""
    front: list[Point] = []
    for rate, cost in sorted(points):
        if not front or cost < front[-1][1]:
            front.append((rate, cost))
    return front
