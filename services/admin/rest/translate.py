"""Values of rows to those of the API; pure."""

from __future__ import annotations

import json
import math
from functools import lru_cache

from services.kernel.domain import WorkloadSpec, known_spec


def finite(value: float | None, digits: int = 7) -> float | None:
    """`value` to `digits` significant digits; None where it is not a number.

    Postgres' REAL has seven digits; the rest is noise of the conversion.
    """
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


@lru_cache(maxsize=2048)
def spec_of(text: str) -> WorkloadSpec:
    """A workload's spec from its JSON as stored; parsed once, as it seldom changes."""
    return known_spec(json.loads(text))
