"""Values as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def null_where_unknown(value: Any) -> Any:
    """The value with null for what is not a number: JSON knows neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {key: null_where_unknown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [null_where_unknown(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
