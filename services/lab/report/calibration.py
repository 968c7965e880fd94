"""The reliability plot: what forecasts said against how often it came."""

from __future__ import annotations

from html import escape

import numpy as np

from services.lab.report.data import ReportData
from services.lab.report.svg import Frame, line, text

_SIZE = 430.0


def calibration_chart(data: ReportData) -> str:
    """A dot for each quantile: said across, came upwards; on the diagonal both agree."""
    found = data.calibration
    if found is None or not found.n_forecasts:
        return ""
    frame = Frame(_SIZE, _SIZE, (0.0, 1.0), (0.0, 1.0), left=56, right=16, top=24, bottom=46)
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = float(frame.x(share)), float(frame.y(share))
        parts.append(line(frame.left, y, _SIZE - frame.right, y, "grid"))
        parts.append(text(frame.left - 8, y + 4, f"{share:.0%}", "tick", "end"))
        anchor = "end" if share == 1.0 else "middle"
        parts.append(text(x, _SIZE - frame.bottom + 17, f"{share:.0%}", "tick", anchor))
    low, high = frame.x(np.array([0.0, 1.0]))
    parts.append(line(low, float(frame.y(0.0)), high, float(frame.y(1.0)), "axis diagonal"))
    for level, came in zip(found.levels, found.observed, strict=True):
        said = escape(f"said {level:.1%}, came {came:.1%}")
        parts.append(
            f'<circle cx="{float(frame.x(level)):.1f}" cy="{float(frame.y(came)):.1f}" r="5" '
            f'class="bar harmony"><title>{said}</title></circle>'
        )
    parts.append(text(4, 12, "demand at or below it", "unit"))
    label = "quantile that the forecast gave"
    parts.append(text((frame.left + _SIZE) / 2, _SIZE - 6, label, "tick", "middle"))
    return frame.wrap("".join(parts), "How often demand came in below each quantile")


def calibration_line(data: ReportData) -> str:
    """The largest distance from the diagonal, in words."""
    found = data.calibration
    if found is None or not found.n_forecasts:
        return ""
    worst = int(np.argmax(np.abs(found.observed - found.levels)))
    minutes = found.lead_steps * data.step_s / 60
    return (
        f"{found.n_forecasts:,} forecasts, made {minutes:g} minutes ahead. Furthest off: demand "
        f"was at or below the {found.levels[worst]:.0%} quantile in "
        f"{found.observed[worst]:.1%} of all steps."
    )
