"""How likely a start finds a GPU that is free already.

A decision starts several replicas at once. Free places go to the first of them; the others wait for
a node.
"""

from __future__ import annotations

from collections.abc import Sequence

from decider.errors import require


def placed_share(sizes: Sequence[int], places: int) -> float:
    """Share of the starts that find one of the free places.

    Args:
        sizes: How many replicas decisions start at once: as many as earlier ones did. Empty: one.
        places: Places that are free; none where it is not > 0.
    """
    wanted = sizes or (1,)
    require(min(wanted) >= 1, f"sizes={wanted} must be >= 1")
    return sum(min(size, max(0, places)) for size in wanted) / sum(wanted)
