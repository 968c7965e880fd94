"""A few SVG primitives: scales, ticks, paths. Colours come from CSS classes, so dark mode works."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import numpy as np

from services.simulator.fleet.arrays import FloatArray

MAX_POINTS = 1_200


@dataclass(frozen=True, slots=True)
class Frame:
    """The plotting area and its linear scales.

    Attributes:
        width: Of the whole drawing.
        height: Of the whole drawing.
        x_range: Data range on the horizontal axis.
        y_range: Data range on the vertical axis.
        left: Margin for tick labels.
        right: Margin.
        top: Margin.
        bottom: Margin for tick labels.
    """

    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 56.0
    right: float = 12.0
    top: float = 12.0
    bottom: float = 28.0

    def x(self, value: FloatArray | float) -> FloatArray:
        """Horizontal pixel of a value."""
        low, high = self.x_range
        share = (np.asarray(value, dtype=float) - low) / ((high - low) or 1.0)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, value: FloatArray | float) -> FloatArray:
        """Vertical pixel of a value."""
        low, high = self.y_range
        share = (np.asarray(value, dtype=float) - low) / ((high - low) or 1.0)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def wrap(self, body: str, description: str) -> str:
        """The `<svg>` element around `body`."""
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(description)}" preserveAspectRatio="xMidYMid meet">{body}</svg>'
        )


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About `n` round numbers from `low` to `high`."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / n
    power = 10.0 ** math.floor(math.log10(raw))
    size = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw * 0.999)
    first = math.ceil(low / size - 1e-9)
    last = math.floor(high / size + 1e-9)
    return [k * size for k in range(first, last + 1)]


def nice_top(high: float) -> float:
    """A round number a little above `high`."""
    if not math.isfinite(high) or high <= 0:
        return 1.0
    ticks = nice_ticks(0.0, high * 1.05)
    size = ticks[1] - ticks[0] if len(ticks) > 1 else high
    return math.ceil(high * 1.02 / size) * size


def compact(value: float) -> str:
    """A short number for an axis: 12k, 3.4M, 0.25."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:  # with three digits it reads as the limit
            scaled = value / limit
            return f"{scaled:,.0f}{suffix}" if abs(scaled) >= 99.95 else f"{scaled:.3g}{suffix}"
    return f"{value:.3g}"


def text(x: float, y: float, label: str, css: str = "", anchor: str = "start") -> str:
    """A text element."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(label)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def y_axis(frame: Frame, label: str, n: int = 5) -> str:
    """Grid lines, tick labels and the unit above them."""
    parts = []
    for tick in nice_ticks(*frame.y_range, n):
        at = float(frame.y(tick))
        parts.append(line(frame.left, at, frame.width - frame.right, at, "grid"))
        parts.append(text(frame.left - 8, at + 4, compact(tick), "tick", "end"))
    parts.append(text(4, 11, label, "unit"))
    return "".join(parts)


def time_axis(frame: Frame) -> str:
    """Clock labels (UTC) on a horizontal axis of epoch seconds."""
    low, high = frame.x_range
    span_h = (high - low) / 3600.0
    n_labels = (frame.width - frame.left - frame.right) / 90.0
    every_h = next((h for h in (1, 2, 3, 6, 12, 24, 48, 96, 168) if span_h / h <= n_labels), 336)
    first = math.ceil(low / (every_h * 3600)) * every_h * 3600
    base = frame.height - frame.bottom
    parts = [line(frame.left, base, frame.width - frame.right, base, "axis")]
    edge = frame.width - frame.right
    at_s = float(first)
    while at_s <= high:
        x = float(frame.x(at_s))
        at = datetime.fromtimestamp(at_s, UTC)
        is_day = at.hour == 0
        parts.append(line(x, base, x, base + 4, "axis"))
        label = f"{at:%a} {at.day} {at:%b}" if is_day else f"{at:%H:%M}"
        anchor = "end" if x > edge - 24 else "middle"
        parts.append(text(x, base + 18, label, "tick day" if is_day else "tick", anchor))
        at_s += every_h * 3600
    return "".join(parts)


def thinned(time_s: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most `MAX_POINTS` points: means of equal blocks, times at the blocks' starts."""
    size = -(-time_s.size // MAX_POINTS)
    if size <= 1:
        return time_s, values
    n = time_s.size // size
    blocks = values[: n * size].reshape(n, size)
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    return time_s[: n * size : size], np.where(count > 0, total / np.maximum(count, 1), np.nan)


def line_path(x: FloatArray, y: FloatArray) -> str:
    """Path data of a line, broken where `y` is NaN."""
    parts, is_down = [], False
    for px, py in zip(x.tolist(), y.tolist(), strict=True):
        if not math.isfinite(py):
            is_down = False
            continue
        parts.append(f"{'L' if is_down else 'M'}{px:.1f} {py:.1f}")
        is_down = True
    return "".join(parts)


def step_path(x: FloatArray, y: FloatArray, end_x: float) -> str:
    """Path data of a staircase: each value holds until the next one."""
    edges = np.append(x, end_x)
    xs = np.repeat(edges, 2)[1:-1]
    return line_path(xs, np.repeat(y, 2))


def band_path(x: FloatArray, low: FloatArray, high: FloatArray) -> str:
    """Path data of a filled band; each unbroken run of finite values is one polygon."""
    is_known = np.isfinite(low) & np.isfinite(high)
    parts = []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_known, [False]]).astype(int)))
    for begin, end in edges.reshape(-1, 2):
        run = slice(int(begin), int(end))
        forward = line_path(x[run], high[run])
        back = line_path(x[run][::-1], low[run][::-1]).replace("M", "L", 1)
        parts.append(f"{forward}{back}Z")
    return "".join(parts)


def path(data: str, css: str, title: str = "") -> str:
    """A path element with an optional tooltip."""
    inside = f"<title>{escape(title)}</title>" if title else ""
    return f'<path d="{data}" class="{css}">{inside}</path>'
