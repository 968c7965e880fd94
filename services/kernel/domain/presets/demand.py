"""Whether a demand counts load as it arrives, or as it was served."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from services.kernel.domain.presets.catalog import PRESETS
from services.kernel.domain.presets.shape import metrics_in

_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ANSWERS = "output_tokens_per_s"


def demand_counts(query: str) -> Literal["arrives", "served"]:
    """What a demand with this query counts.

    Served: it reads a metric of a program that counts requests when they are done, or the tokens of
    answers. Everything else, a pushed demand too, is taken for arrivals.

    Args:
        query: PromQL, one's own or a preset's; empty: it is pushed.
    """
    return "arrives" if _served().isdisjoint(_WORD.findall(query)) else "served"


@lru_cache(1)
def _served() -> frozenset[str]:
    """Names of all metrics that count what was served."""
    return frozenset(
        metric
        for preset in PRESETS.values()
        for indicator in preset.indicators
        if preset.counts != "arrivals" or indicator.name == _ANSWERS
        for expression in indicator.expressions
        for metric in metrics_in(expression)
    )
