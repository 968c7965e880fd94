"""What one setting of one policy came to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.ledger import SupplyFigures


@dataclass(frozen=True, slots=True)
class SettingFigures:
    """Figures of a setting.

    Attributes:
        policy: Whose.
        setting: In words.
        figures: Costs and violations.
        n_refused: Times that no node could be had.
        promise: Share of time out of SLA that was promised; None: nothing was.
        n_held: Increases that were cut for want of GPUs; None: nobody counts them.
        n_expected: Starts whose lead time was told when they were asked for, and that ended.
        n_inside: Those of them that took a time within the 90 % interval.
    """

    policy: str
    setting: str
    figures: SupplyFigures
    n_refused: int
    promise: float | None = None
    n_held: int | None = None
    n_expected: int = 0
    n_inside: int = 0

    @property
    def mean_rate(self) -> float:
        """Share of time out of SLA, the mean over services."""
        return self.figures.rate

    @property
    def worst_rate(self) -> float:
        """That of the service that is out of SLA most; NaN where none is known."""
        rates = self.figures.rates
        known = rates[np.isfinite(rates)]
        return float(known.max()) if known.size else float("nan")


def coverage_of(cluster: SupplyCluster, first_s: float, last_s: float) -> tuple[int, int]:
    """Starts asked for between two times whose lead time was told, and those inside the interval.

    One that is still on its way counts as outside once it is later than it should be, and so does
    one that was taken away later than that. One that was taken away before says nothing.
    """
    n, n_inside = 0, 0
    for replica in (each for own in cluster.starts for each in own):
        if replica.expected_s is None:
            continue
        if not first_s <= replica.asked_s <= last_s:
            continue
        low_s, high_s = replica.expected_s
        until_s = replica.ready_s if replica.is_ready else min(replica.gone_s, cluster.now_s)
        took_s = until_s - replica.asked_s
        if not replica.is_ready and took_s <= high_s:
            continue
        n += 1
        n_inside += low_s <= took_s <= high_s
    return n, n_inside
