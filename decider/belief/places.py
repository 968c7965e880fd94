"""How likely a start finds a GPU that is free already, where others want it too.

A decision starts several replicas at once, and other services decide in the same step. Free places
go to those that come first; the others wait for a node.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import pdtr

from decider.errors import require


def placed_share(sizes: Sequence[int], places: int, others: float) -> float:
    """Share of the starts that find one of the free places.

    Args:
        sizes: How many replicas decisions start at once: as many as earlier ones did. Empty: one.
        places: Places that are free; none where it is not > 0.
        others: Starts of others in the same step, on the mean. As many come before as after, so a
            Poisson number of half of them takes a place first.
    """
    wanted = sizes or (1,)
    require(min(wanted) >= 1 and others >= 0.0, f"sizes={wanted}, others={others}: below 1 or 0")
    if places <= 0:
        return 0.0
    found = 0.0
    for size in wanted:
        left = places - 1.0 - np.arange(min(size, places))
        found += float(pdtr(left, 0.5 * others).sum())
    return min(1.0, found / sum(wanted))
