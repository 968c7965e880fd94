"""What is forecast of each series: its demand and further loads, or every indicator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from forecaster.config import ForecasterConfig
from forecaster.types import I64, Series

MAX_JOINT = 3
"""Most further loads, over all series, that are forecast jointly with the demand."""


def joint_names(series: Sequence[Series]) -> tuple[str, ...]:
    """Further loads that are forecast jointly with the demand, sorted.

    Where the series name more than `MAX_JOINT`, those that most of them name; ties go by name.
    """
    used = Counter(one.indicators[k] for one in series for k in one.further)
    return tuple(sorted(sorted(used, key=lambda name: (-used[name], name))[:MAX_JOINT]))


def target_table(series: Sequence[Series], config: ForecasterConfig) -> I64:
    """Columns that are forecast of each series, `(W, G)`; -1 where it has fewer.

    With `targets=demand` the demand comes first, then one column for each of `joint_names`, then
    the further loads that are not among those.
    """
    if config.train.targets == "all":
        return _filled([list(range(len(one.indicators))) for one in series])
    names = joint_names(series)
    rows = []
    for one in series:
        at = {one.indicators[k]: k for k in one.further}
        others = [k for k in one.further if one.indicators[k] not in names]
        rows.append([one.demand_index, *(at.get(name, -1) for name in names), *others])
    return _filled(rows)


def _filled(rows: Sequence[Sequence[int]]) -> I64:
    table = np.full((len(rows), max(len(row) for row in rows)), -1, dtype=np.int64)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table
