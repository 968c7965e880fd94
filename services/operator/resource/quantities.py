"""Durations, decimals and quantities as objects spell them: `90s`, `1h30m`, `"0.01"`, `64k`."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
DECIMAL_PATTERN = r"^[0-9]+(\.[0-9]+)?$"
_LONGEST_D = 3650
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
    r"(?:(?P<unit>[KMGTPE]i|[numkMGTPE])|(?P<exponent>[eE][+-]?[0-9]{1,9}))?"
)
_QUANTITY_UNITS = {unit: Decimal(1000) ** n for n, unit in enumerate("num", start=-3)}
_QUANTITY_UNITS |= {unit: Decimal(1000) ** n for n, unit in enumerate("kMGTPE", start=1)}
_QUANTITY_UNITS |= {f"{unit}i": Decimal(1024) ** n for n, unit in enumerate("KMGTPE", start=1)}
_LONGEST_QUANTITY = 64


def parse_duration_s(text: object) -> float:
    """Seconds of a duration such as `500ms`, `90s`, `5m`, `1h30m` or `28d`.

    Raises:
        ValueError: It has no unit, or is not a duration at all; a bare number is refused because
            readers disagree about its unit. It is longer than ten years, so that a time and it
            always make another time.
    """
    if not isinstance(text, str) or not re.match(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} must be a duration with its unit, e.g. 90s, 5m, 1h30m or 28d")
    seconds = sum(float(value) * _UNITS_S[unit] for value, unit in _PART.findall(text))
    if seconds > _LONGEST_D * _UNITS_S["d"]:
        raise ValueError(f"{text[:32]!r} must be at most {_LONGEST_D}d")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest spelling that `parse_duration_s` reads back, to the millisecond."""
    left_ms = round(seconds * 1000)
    parts = []
    for unit, width_ms in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        count, left_ms = divmod(left_ms, width_ms)
        if count:
            parts.append(f"{count}{unit}")
    if left_ms or not parts:
        parts.append(f"{left_ms}ms" if left_ms else "0s")
    return "".join(parts)


def parse_quantity(text: str) -> Decimal:
    """A quantity of Kubernetes such as `64`, `6.4e1`, `64000m`, `1k` or `1Ki`.

    Raises:
        ValueError: It is none, or is longer than any that somebody writes.
    """
    found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST_QUANTITY else None
    if found is None:
        raise ValueError(f"{text[:32]!r} must be a quantity, e.g. 64")
    number, unit, exponent = found["number"], found["unit"], found["exponent"]
    if unit:
        return Decimal(number) * _QUANTITY_UNITS[unit]
    return Decimal(f"{number}{exponent or ''}")


def parse_decimal(value: object) -> float:
    """A number, or a string that spells one.

    Raises:
        ValueError: It is neither, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f'{value!r} must be a decimal, e.g. "0.01"')
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f'{value!r} must be a decimal, e.g. "0.01"') from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} must be finite")
    return number


def format_decimal(value: float) -> str:
    """The shortest plain spelling that reads back as the same number."""
    text = repr(float(value))
    if "e" in text:
        text = f"{value:.12f}".rstrip("0")
    return text.removesuffix(".0").removesuffix(".")
