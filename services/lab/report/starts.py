"""Start-up times in the report: what was measured of each service beside what was stated."""

from __future__ import annotations

from html import escape

import numpy as np

from services.lab.report.data import ReportData
from services.lab.report.svg import Frame, line, nice_ticks, nice_top, text

_WIDTH, _ROW, _LEFT = 510.0, 20.0, 190.0
_LONGEST_NAME = 28
"""Characters of a service's name that fit left of the plot."""
_FEW = 3
"""Starts below which there is no range."""


def starts_chart(data: ReportData) -> str:
    """A row for each service: median and 95 % of its measured starts, and the stated median."""
    known = [one for one in data.starts if one.measured_s.size]
    if not known:
        return ""
    longest = max(max(float(np.quantile(one.measured_s, 0.95)), one.stated_s) for one in known)
    top = nice_top(longest / 60.0)
    height = _ROW * len(known) + 62
    frame = Frame(_WIDTH, height, (0.0, top), (0.0, 1.0), left=_LEFT, right=22, top=8, bottom=44)
    base = height - frame.bottom
    parts = []
    for tick in nice_ticks(0.0, top, 4):
        x = float(frame.x(tick))
        parts.append(line(x, frame.top, x, base, "grid"))
        parts.append(text(x, base + 17, f"{tick:g}", "tick", "middle"))
    for row, one in enumerate(known):
        y = frame.top + _ROW * row + 12
        name = one.workload.partition("/")[2] or one.workload
        shown = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
        parts.append(text(_LEFT - 10, y + 4, shown, "tick", "end"))
        middle, late = (float(np.quantile(one.measured_s, q)) for q in (0.5, 0.95))
        x = float(frame.x(middle / 60.0))
        if one.measured_s.size >= _FEW:
            parts.append(line(x, y, float(frame.x(late / 60.0)), y, "range"))
        said = escape(
            f"{one.workload}: {one.measured_s.size} starts, median {middle:.0f} s, "
            f"95 % within {late:.0f} s, stated {one.stated_s:.0f} s"
        )
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:g}" r="4.5" class="bar harmony">'
            f"<title>{said}</title></circle>"
        )
        at = float(frame.x(one.stated_s / 60.0))
        parts.append(line(at, y - 6, at, y + 6, "stated"))
    middle_x = (_LEFT + _WIDTH - frame.right) / 2
    parts.append(text(middle_x, height - 6, "minutes from request to ready", "tick", "middle"))
    return frame.wrap("".join(parts), "Measured start-up times of each service")


def starts_line(data: ReportData) -> str:
    """How many starts were measured, in words."""
    n = sum(one.measured_s.size for one in data.starts)
    if not n:
        return ""
    return (
        f"{n:,} starts were measured. A dot is a service's median, its line ends at 95 % of its "
        "starts; the upright mark is the median that its owner stated. Harmony decides by what it "
        "measured."
    )
