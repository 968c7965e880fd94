"""Whether a load is counted as it arrives, or as it was served."""

from __future__ import annotations

import re
from functools import lru_cache

from services.kernel.domain.presets.catalog import PRESETS
from services.kernel.domain.presets.shape import metrics_in
from services.kernel.domain.workload import LoadCounts

_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_MATCHERS = re.compile(r"\{[^}]*\}")


def demand_counts(query: str) -> LoadCounts:
    """What a load with this query counts, be it the demand or a further load.

    Served: it reads a metric of a program that counts requests when they are done, or the tokens of
    answers. Everything else, a pushed load too, is taken for arrivals; so is an offered load of a
    preset, whichever pods its matchers pick.

    Args:
        query: PromQL, one's own or a preset's; empty: it is pushed.
    """
    if _bare(query) in _offered():
        return "arrives"
    return "arrives" if _served().isdisjoint(_WORD.findall(query)) else "served"


def _bare(query: str) -> str:
    """A query without the matchers of its series."""
    return _MATCHERS.sub("", query)


@lru_cache(1)
def _offered() -> frozenset[str]:
    """All offered loads of presets."""
    return frozenset(
        _bare(indicator.expression)
        for preset in PRESETS.values()
        for indicator in preset.indicators
        if indicator.is_offered
    )


@lru_cache(1)
def _served() -> frozenset[str]:
    """Names of all metrics that count what was served."""
    return frozenset(
        metric
        for preset in PRESETS.values()
        for indicator in preset.indicators
        if preset.load_counts(indicator) == "served"
        for expression in indicator.expressions
        for metric in metrics_in(expression)
    )
