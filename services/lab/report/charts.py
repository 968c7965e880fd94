"""The charts of the report, each a function from data to an SVG string."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.lab.report.data import FanChart, ReportData, label_of, percent
from services.lab.report.svg import (
    Frame,
    band_path,
    compact,
    line,
    line_path,
    nice_top,
    path,
    step_path,
    text,
    thinned,
    time_axis,
    y_axis,
)
from services.simulator.fleet.arrays import FloatArray

WIDE = 1040.0


def _times(data: ReportData) -> tuple[FloatArray, float]:
    start_s = data.start_at.timestamp()
    n = data.needed_gpus.size
    return start_s + data.step_s * np.arange(n, dtype=float), start_s + data.step_s * n


def allocation_chart(data: ReportData) -> str:
    """GPUs held by each policy against the GPUs that demand needed."""
    time_s, end_s = _times(data)
    shown = [s for s in data.ordered() if s.name != "oracle"]
    top = max(float(np.nanmax(s.step_gpus)) for s in shown)
    top = max(top, float(np.nanmax(data.needed_gpus)))
    frame = Frame(WIDE, 320, (float(time_s[0]), end_s), (0.0, nice_top(top)), top=28)
    at_s, needed = thinned(time_s, data.needed_gpus)
    x, end_x = frame.x(at_s), float(frame.x(end_s))
    xs = np.repeat(np.append(x, end_x), 2)[1:-1]
    ys = np.repeat(frame.y(needed), 2)
    floor = np.full(ys.shape, float(frame.y(0.0)))
    parts = [
        y_axis(frame, "GPUs"),
        path(band_path(xs, floor, ys), "needed", "GPUs that demand needed"),
    ]
    # Harmony last, on top
    for s in reversed(shown):
        _, held = thinned(time_s, s.step_gpus)
        parts.append(path(step_path(x, frame.y(held), end_x), f"series {s.name}", label_of(s.name)))
    parts.append(time_axis(frame))
    return frame.wrap("".join(parts), "GPUs allocated by each policy against GPUs needed")


def savings_chart(data: ReportData) -> str:
    """Cumulative dollars that Harmony saved against each rival, below zero where it lost."""
    ours = data.score("harmony")
    rivals = [s for s in data.ordered() if s.name not in ("harmony", "oracle")]
    if ours is None or not rivals:
        return ""
    time_s, end_s = _times(data)
    edges = np.append(time_s, end_s)
    saved = {
        s.name: np.concatenate([[0.0], np.cumsum(s.step_cost_usd - ours.step_cost_usd)])
        for s in rivals
    }
    low = min(0.0, *(float(v.min()) for v in saved.values()))
    high = nice_top(max(1e-9, *(float(v.max()) for v in saved.values())))
    low = -nice_top(-low) if low < 0 else 0.0
    frame = Frame(WIDE, 260, (float(edges[0]), end_s), (low, high), right=150, top=28)
    parts = [y_axis(frame, "USD saved, cumulative")]
    if low < 0:
        zero = float(frame.y(0.0))
        parts.append(line(frame.left, zero, frame.width - frame.right, zero, "axis"))
    for s in rivals:
        at_s, values = thinned(edges, saved[s.name])
        parts.append(
            path(line_path(frame.x(at_s), frame.y(values)), f"series {s.name}", label_of(s.name))
        )
    ends = sorted((float(frame.y(values[-1])), name) for name, values in saved.items())
    x = frame.width - frame.right + 10
    for y, (_, name) in zip(_spread([y for y, _ in ends], 30.0), ends, strict=True):
        amount = saved[name][-1]
        parts.append(text(x, y - 1, f"{amount:+,.0f} USD", f"value ink-{name}"))
        parts.append(text(x, y + 12, f"vs {_short(name)}", "tick"))
    parts.append(time_axis(frame))
    return frame.wrap("".join(parts), "Cumulative savings against each rival")


def _short(name: str) -> str:
    return {"hpa": "tuned HPA", "trailing_percentile": "trailing pct."}.get(
        name, label_of(name).lower()
    )


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move rising heights of labels apart that would overlap."""
    placed: list[float] = []
    for y in heights:
        placed.append(max(y, placed[-1] + gap) if placed else y)
    return placed


def bars_chart(data: ReportData, kind: str) -> str:
    """Horizontal bars: `cost`, or `violation` with a line at the promise."""
    scores = data.ordered()
    row, left = 34.0, 176.0
    if kind == "cost":
        values = [s.cost_usd for s in scores]
        labels = [f"{v:,.0f} USD" for v in values]
        top = max(values) * 1.45 or 1.0
    else:
        values = [s.violation_rate for s in scores]
        labels = [percent(v) for v in values]
        known = [v for v in values if v == v]
        top = max([data.epsilon * 1.2, *known]) * 1.30
    height = row * len(scores) + 34
    frame = Frame(510, height, (0.0, top), (0.0, 1.0), left=left, right=8, top=20, bottom=8)
    parts = []
    for i, (s, value, label) in enumerate(zip(scores, values, labels, strict=True)):
        y = 24 + i * row
        width = 0.0 if value != value else max(float(frame.x(value)) - left, 0.0)
        css = f"bar {s.name}"
        parts.append(text(left - 10, y + 16, label_of(s.name), "rowname", "end"))
        parts.append(
            f'<rect x="{left:g}" y="{y:g}" width="{width:.1f}" height="22" rx="3" class="{css}">'
            f"<title>{label_of(s.name)}: {label}</title></rect>"
        )
        parts.append(text(left + width + 7, y + 16, label, "value"))
    if kind == "violation":
        x = float(frame.x(data.epsilon))
        parts.append(line(x, 16, x, height - 6, "promise"))
        label = f"promised ≤ {100 * data.epsilon:g} %"
        parts.append(text(x, 11, label, "promise-label", "middle"))
    description = "Cost of each policy" if kind == "cost" else "Time out of SLA of each policy"
    return frame.wrap("".join(parts), description)


def fan_chart(fan: FanChart) -> str:
    """Forecast quantiles as nested bands, the median, demand, and ready capacity."""
    T = fan.demand.size
    time_s = fan.start_s + fan.step_s * (np.arange(T, dtype=float) + 0.5)
    end_s = fan.start_s + fan.step_s * T
    top = _fan_top(fan)
    frame = Frame(510, 230, (fan.start_s, end_s), (0.0, top), left=46, top=28)
    at_s, demand = thinned(time_s, fan.demand)
    x = frame.x(at_s)
    parts = [y_axis(frame, fan.unit, 4)]
    Q = fan.quantile_levels.size
    for k in range(Q // 2):
        low, high = (thinned(time_s, fan.quantiles[j])[1] for j in (k, Q - 1 - k))
        level = f"{fan.quantile_levels[k]:g}–{fan.quantile_levels[Q - 1 - k]:g}"
        band = band_path(x, frame.y(np.minimum(low, top)), frame.y(np.minimum(high, top)))
        parts.append(path(band, "fan", f"quantiles {level}"))
    middle = int(np.argmin(np.abs(fan.quantile_levels - 0.5)))
    median = np.minimum(thinned(time_s, fan.quantiles[middle])[1], top)
    parts.append(path(line_path(x, frame.y(median)), "median", "median forecast"))
    if fan.ready_capacity is not None:
        ready_s, ready = thinned(
            fan.start_s + fan.step_s * np.arange(T, dtype=float), fan.ready_capacity
        )
        ready_y = frame.y(np.minimum(ready, top))
        parts.append(
            path(
                step_path(frame.x(ready_s), ready_y, float(frame.x(end_s))),
                "ready",
                "capacity of ready replicas",
            )
        )
    parts.append(path(line_path(x, frame.y(demand)), "demand", "demand"))
    parts.append(time_axis(frame))
    return frame.wrap("".join(parts), f"Forecast of {fan.workload} against its demand")


def _fan_top(fan: FanChart) -> float:
    """Upper end of the axis; one wild quantile must not flatten the rest."""

    def largest(values: FloatArray) -> float:
        known = values[np.isfinite(values)]
        return float(known.max()) if known.size else 0.0

    seen = largest(fan.demand)
    if fan.ready_capacity is not None:
        seen = max(seen, largest(fan.ready_capacity))
    forecast = largest(fan.quantiles)
    return nice_top(max(seen, min(forecast, 2.0 * seen) if seen > 0 else forecast))


def workload_rows(data: ReportData) -> list[dict[str, str]]:
    """Per-workload figures: Harmony against the tuned trailing percentile and HPA."""
    ours = data.score("harmony")
    if ours is None:
        return []
    rows = []
    for i, name in enumerate(data.workloads):
        row = {
            "name": name,
            "gpu_hours": compact(float(ours.workload_gpu_hours[i])),
            "violation": percent(float(ours.workload_violation_rate[i])),
        }
        for rival in ("hpa", "trailing_percentile"):
            other = data.score(rival)
            held = float(other.workload_gpu_hours[i]) if other else 0.0
            ratio = float(ours.workload_gpu_hours[i]) / held - 1 if held > 0 else float("nan")
            row[rival] = "–" if ratio != ratio else f"{100 * ratio:+.0f} %"
        rows.append(row)
    return rows
