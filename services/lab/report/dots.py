"""The chart of promises: a dot for each service and policy, at its share of time out of SLA."""

from __future__ import annotations

from html import escape

import numpy as np

from services.lab.report.data import ReportData, label_of, percent
from services.lab.report.svg import Frame, line, text

_WIDTH, _ROW, _LEFT = 1040.0, 46.0, 190.0
_MOST = 10.0
"""Times of the promise that the axis reaches at most: a dot beyond stands at its end."""
_LANES = 5
"""Heights at which the dots of a row lie, so that few hide each other."""


def dots_chart(data: ReportData) -> str:
    """Dots of every service by policy, the promise as a line; empty without any known rate."""
    shown = [s for s in data.ordered() if s.name != "oracle"]
    rates = np.concatenate([s.workload_violation_rate for s in shown])
    known = rates[np.isfinite(rates)]
    if not known.size:
        return ""
    top = min(_MOST * data.epsilon, max(2.0 * data.epsilon, 1.08 * float(known.max())))
    height = _ROW * len(shown) + 44
    frame = Frame(_WIDTH, height, (0.0, top), (0.0, 1.0), left=_LEFT, right=24, top=20, bottom=8)
    parts = []
    for row, s in enumerate(shown):
        y = 24 + row * _ROW
        parts.append(text(_LEFT - 14, y + 24, label_of(s.name), "rowname", "end"))
        parts.append(line(_LEFT, y + 38, _WIDTH - 24, y + 38, "grid"))
        for rank, i in enumerate(np.argsort(s.workload_violation_rate, kind="stable")):
            rate = float(s.workload_violation_rate[i])
            if not np.isfinite(rate):
                continue
            x, at = float(frame.x(min(rate, top))), y + 6 + 6 * (rank % _LANES)
            said = escape(f"{data.workloads[i]}: {percent(rate)}")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{at:g}" r="4" class="bar {s.name}">'
                f"<title>{said}</title></circle>"
            )
    x = float(frame.x(data.epsilon))
    parts.append(line(x, 18, x, height - 22, "promise"))
    parts.append(text(x, 12, f"promised ≤ {100 * data.epsilon:g} %", "promise-label", "middle"))
    for share in np.linspace(0.0, top, 5):
        parts.append(
            text(float(frame.x(share)), height - 6, percent(float(share)), "tick", "middle")
        )
    return frame.wrap("".join(parts), "Share of time out of SLA of each service under each policy")
