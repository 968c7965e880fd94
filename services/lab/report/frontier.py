"""What each share of time out of SLA costs: rivals at many settings, Harmony as it ran."""

from __future__ import annotations

from html import escape

import numpy as np

from services.backtest.equal_violation import cost_at
from services.backtest.frontier_plot import pareto
from services.lab.report.data import MONTH_H, ReportData, label_of, percent
from services.lab.report.svg import Frame, line, line_path, nice_ticks, path, text, y_axis

_WIDTH, _HEIGHT = 1040.0, 340.0
_MOST = 10.0
"""Times of the promise that the axis reaches at most; what violates more is not drawn."""


def frontier_chart(data: ReportData) -> str:
    """Cost a month against the share of time out of SLA; empty without any rival's settings."""
    ours = data.score("harmony")
    if ours is None or not data.frontiers:
        return ""
    per_month = MONTH_H / data.simulated_hours
    rates = np.concatenate([f.rate for f in data.frontiers] + [[ours.violation_rate]])
    limit = _MOST * data.epsilon
    right = min(limit, max(2.0 * data.epsilon, 1.08 * float(rates.max())))
    shown = {f.policy: f.rate <= right for f in data.frontiers}
    costs = np.concatenate(
        [f.cost_usd[shown[f.policy]] for f in data.frontiers] + [[ours.cost_usd]]
    )
    low, high = _axis(float(costs.min()) * per_month, float(costs.max()) * per_month)
    frame = Frame(_WIDTH, _HEIGHT, (0.0, right), (low, high), left=64, right=24, top=30, bottom=44)
    parts = [y_axis(frame, "USD a month"), *_rate_axis(frame, right)]
    x = float(frame.x(data.epsilon))
    parts.append(line(x, frame.top, x, _HEIGHT - frame.bottom, "promise"))
    parts.append(text(x, 22, f"promised ≤ {100 * data.epsilon:g} %", "promise-label", "middle"))
    for one in data.frontiers:
        keep = shown[one.policy]
        rate, cost = one.rate[keep], one.cost_usd[keep] * per_month
        front = np.array(pareto(list(zip(rate.tolist(), cost.tolist(), strict=True))))
        if front.size:
            curve = line_path(frame.x(front[:, 0]), frame.y(front[:, 1]))
            parts.append(path(curve, f"series {one.policy}", label_of(one.policy)))
        names = [name for name, is_kept in zip(one.settings, keep, strict=True) if is_kept]
        for at, usd, name in zip(rate, cost, names, strict=True):
            said = f"{label_of(one.policy)}, {name}: {percent(float(at))}, {usd:,.0f} USD a month"
            parts.append(_dot(frame, float(at), float(usd), f"bar {one.policy}", said, 4.0))
    usd = ours.cost_usd * per_month
    said = f"Harmony: {percent(ours.violation_rate)}, {usd:,.0f} USD a month"
    at = min(ours.violation_rate, right)
    parts.append(_dot(frame, at, usd, "bar harmony", said, 7.0))
    return frame.wrap("".join(parts), "Cost a month against the share of time out of SLA")


def _axis(low: float, high: float) -> tuple[float, float]:
    """Round ends around the costs: differences of a tenth must be seen, so 0 is left out."""
    size = nice_ticks(low, high * 1.0001 + 1e-9, 4)
    step = size[1] - size[0] if len(size) > 1 else max(high, 1.0) / 4
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step + step / 2)


def _rate_axis(frame: Frame, right: float) -> list[str]:
    base = frame.height - frame.bottom
    parts = [line(frame.left, base, frame.width - frame.right, base, "axis")]
    for share in np.linspace(0.0, right, 6):
        label = percent(float(share))
        anchor = "end" if share == right else "middle"
        parts.append(text(float(frame.x(share)), base + 17, label, "tick", anchor))
    middle = (frame.left + frame.width - frame.right) / 2
    parts.append(text(middle, frame.height - 6, "share of time out of SLA", "tick", "middle"))
    return parts


def _dot(frame: Frame, rate: float, usd: float, css: str, said: str, radius: float) -> str:
    return (
        f'<circle cx="{float(frame.x(rate)):.1f}" cy="{float(frame.y(usd)):.1f}" r="{radius:g}" '
        f'class="{css}"><title>{escape(said)}</title></circle>'
    )


def equal_rows(data: ReportData) -> list[dict[str, str]]:
    """Each rival's cost at Harmony's own share of time out of SLA, best setting in hindsight."""
    ours = data.score("harmony")
    if ours is None:
        return []
    per_month = MONTH_H / data.simulated_hours
    rows = []
    for one in data.frontiers:
        cost = cost_at(one.rate, one.cost_usd, ours.violation_rate)
        row = {"label": label_of(one.policy), "css": one.policy, "tried": str(one.rate.size)}
        if np.isfinite(cost):
            more = (cost - ours.cost_usd) * per_month
            row |= {
                "month": f"{cost * per_month:,.0f}",
                "ratio": f"{cost / ours.cost_usd:.2f}",
                "more": f"{more:+,.0f}",
            }
        else:
            row |= {"month": "not reached", "ratio": "–", "more": "–"}
        rows.append(row)
    return rows


def own_month(data: ReportData) -> str:
    """Harmony's cost a month, in words."""
    ours = data.score("harmony")
    return "" if ours is None else f"{ours.cost_usd * MONTH_H / data.simulated_hours:,.0f}"
