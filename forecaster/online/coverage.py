"""Share of the outcomes below each quantile, as a running mean that forgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from forecaster.config import DAY_S
from forecaster.types import F64, I64

COVERAGE_MEMORY_S = 3 * DAY_S
"""Time constant, in seconds of observed steps: what is so much older counts a third.

They are whole days, so that nights weigh as days do. A 99 % quantile that covers 90 % from some day
on is below 95 % within two days, one that covers half in about six hours; with all outcomes alike
it took 24 days and three, after a good month.
"""


def running_coverage(ratio: F64, n_seen: I64, below: F64, step_s: int) -> F64:
    """The share after further outcomes: the plain mean until as many are seen as it remembers.

    Args:
        ratio: `(W, Q)` share so far.
        n_seen: `(W,)` outcomes so far.
        below: `(W, Q, H)` 1 below, 0 above, see `below_shares`; NaN where nothing was observed.
        step_s: Length of a step, of which each brings outcomes of H steps.
    """
    is_seen = ~np.isnan(below)
    total = is_seen.sum(axis=2)
    memory = COVERAGE_MEMORY_S / step_s * below.shape[2]
    known = np.maximum(np.minimum(n_seen[:, None] + total, memory), 1)
    share = np.where(is_seen, below, 0).sum(axis=2) / np.maximum(total, 1)
    return np.asarray(ratio + np.minimum(total / known, 1) * (share - ratio))


def with_below_ratio(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """A stored object with the share of its counts, where it is of a version that had only these.

    They were never forgotten, and a tie counted as below.
    """
    n_below, n_seen = raw.get("n_below"), raw.get("n_seen")
    if "below_ratio" in raw or not isinstance(n_below, list) or not isinstance(n_seen, int):
        return raw
    try:
        ratio = np.asarray(n_below, dtype=np.float64) / max(n_seen, 1)
    except (TypeError, ValueError, OverflowError):
        return raw
    return {**raw, "below_ratio": ratio.tolist()}
