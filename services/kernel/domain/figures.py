"""Figures as people read them: few digits, no power of ten, and a small one is never a zero."""

from __future__ import annotations

import math
from typing import Literal

PLAIN_FROM, PLAIN_TO = 1e-6, 1e12
"""Between these a figure is written without a power of ten."""
ROUNDING = 1e-12
"""Less than this is what remains of a sum that is none: it is a zero."""
Sign = Literal["", "+"]


def kept(value: float, decimals: int = 4, digits: int = 4) -> float:
    """The figure to `decimals`, but a small one to `digits` significant digits: 0.00004 stays.

    For documents: what is shown is made of it, and loses no more.
    """
    if not math.isfinite(value):
        return value
    return 0.0 if abs(value) < ROUNDING else round(value, _decimals(value, decimals, digits))


def plain(value: float, decimals: int = 4, digits: int = 4) -> str:
    """The same in words, as Python writes a number: `0.00004`, `0.5`, `1234.5679`, `3.0`."""
    size = abs(value)
    if size < ROUNDING:
        return "0.0"
    if not math.isfinite(value) or size >= PLAIN_TO:
        return str(value)
    if size < PLAIN_FROM:
        return f"{value:.{digits}g}"
    text = f"{value:.{_decimals(value, decimals, digits)}f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def fixed(value: float, decimals: int = 2, digits: int = 2, sign: Sign = "") -> str:
    """The figure with `decimals`, a small one with more of them: `1,234.50`, `0.50`, `0.004`.

    Args:
        value: What is shown.
        decimals: How many it has, where they show `digits` significant digits.
        digits: How many a small one shows; zeros at its end are left out.
        sign: `+`: a positive one has its sign, too.
    """
    if abs(value) < ROUNDING:
        return f"{0.0:{sign}.{decimals}f}"
    if abs(value) < PLAIN_FROM:
        return f"{value:{sign}.{digits}g}"
    whole, _, rest = f"{value:{sign},.{_decimals(value, decimals, digits)}f}".partition(".")
    rest = rest[:decimals] + rest[decimals:].rstrip("0")
    return f"{whole}.{rest}" if rest else whole


def percentage(share: float, decimals: int = 2, digits: int = 2, sign: Sign = "") -> str:
    """A share as a percentage, written as by `fixed`: 0.005 is `0.50%`, 0.00001 is `0.001%`."""
    return f"{fixed(100 * share, decimals, digits, sign)}%"


def _decimals(value: float, decimals: int, digits: int) -> int:
    """How many decimals show as many significant digits; `decimals` at least."""
    size = abs(value)
    if not math.isfinite(size):
        return decimals
    return max(decimals, digits - 1 - math.floor(math.log10(size)))
