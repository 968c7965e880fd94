"""Numbers and times as the console writes them. An unknown reads as a dash, never as zero."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from services.kernel.domain.figures import PLAIN_FROM, ROUNDING, fixed

DASH = "–"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_NOW_S = 5
_LEAST_S = 0.9995
"""From here on a duration reads as a second, not as 1000 ms."""
_HALF_MS_S = 0.0005
_LEAST_PERCENT = 0.0001
_LEAST = f"{PLAIN_FROM:f}"
_HALF_UP = -math.log10(0.995)
"""From 0.995 on two digits are those of 1: `1 %` and not `1.00 %`."""
_SUFFIXES = ((999.5e6, 1e9, " G"), (999.5e3, 1e6, " M"), (1e4, 1e3, " k"))
"""From where on, of what, and its name: 999,500 reads as 1 M already."""


def percent(value: float | None) -> str:
    """A share as a percentage with two significant digits: 0.0123 -> `1.2 %`.

    Promises of windows are a few millionths of the time: they and what is held against them are
    told apart.
    """
    if value is None:
        return DASH
    scaled = 100 * value
    if scaled == 0:
        return "0 %"
    size = abs(scaled)
    if size < _LEAST_PERCENT:
        least = f"{_LEAST_PERCENT:f}".rstrip("0")
        return f"< {least} %" if scaled > 0 else f"> -{least} %"
    whole = math.floor(math.log10(size) + _HALF_UP)
    text = f"{scaled:.{max(0, 1 - whole)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def number(value: float | None) -> str:
    """A quantity with three significant digits and a thousands suffix: 12345 -> `12.3 k`."""
    if value is None:
        return DASH
    if ROUNDING <= abs(value) < PLAIN_FROM:
        return f"< {_LEAST}" if value > 0 else f"> -{_LEAST}"
    for limit, unit, suffix in _SUFFIXES:
        if abs(value) >= limit:
            return f"{_three(value / unit)}{suffix}"
    return _three(value)


def _three(value: float) -> str:
    """Three significant digits, more of what is larger: never a power of ten."""
    return fixed(value, 0, 3)


def usd(value: float | None, is_signed: bool = False) -> str:
    """An amount of money, to the cent; a small one with two significant digits."""
    if value is None:
        return DASH
    sign = ("+" if value > 0 else "−" if value < 0 else "±") if is_signed else ""
    amount = abs(value) if is_signed else value
    if ROUNDING <= abs(value) < PLAIN_FROM:
        return f"< {sign}${_LEAST}" if value > 0 else f"> {sign or '-'}${_LEAST}"
    return f"{sign}${amount:,.0f}" if amount >= 100 else f"{sign}${fixed(amount)}"


def duration(seconds: float | None) -> str:
    """A duration in its two largest units at most: 95 -> `95 s`, 164 -> `2 min 44 s`.

    Less than a second reads in milliseconds.
    """
    if seconds is None:
        return DASH
    if 0 < seconds < _LEAST_S:
        return f"{1000 * seconds:.0f} ms" if seconds > _HALF_MS_S else "< 1 ms"
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < 2 * _HOUR:
        return _pair(whole, _MINUTE, "min", 1, "s")
    if whole < 2 * _DAY:
        return _pair(whole, _HOUR, "h", _MINUTE, "min")
    return _pair(whole, _DAY, "d", _HOUR, "h")


def _pair(seconds: int, large_s: int, large: str, small_s: int, small: str) -> str:
    first, rest = divmod(seconds, large_s)
    second = rest // small_s
    return f"{first} {large}" + (f" {second} {small}" if second else "")


def ago(at: datetime | None, now: datetime) -> str:
    """Time that has passed until `now`, in the largest unit: `3 min ago`."""
    if at is None:
        return DASH
    seconds = (now - at).total_seconds()
    if abs(seconds) < _NOW_S:
        return "just now"
    units = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s"))
    unit_s, unit = next((item for item in units if abs(seconds) >= 2 * item[0]), units[-1])
    return f"{abs(seconds) / unit_s:.0f} {unit} {'ago' if seconds > 0 else 'ahead'}"


def clock_time(at: datetime | None, now: datetime | None = None) -> str:
    """Date and time in UTC, with the year where it is another than that of `now`: `5 Jan 14:05`."""
    if at is None:
        return DASH
    at = at.astimezone(UTC)
    is_other = now is not None and now.astimezone(UTC).year != at.year
    return f"{at.day} {at:%b}{f' {at.year}' if is_other else ''} {at:%H:%M}"


def iso(at: datetime) -> str:
    """RFC 3339 in UTC, for `datetime` attributes and URLs."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
