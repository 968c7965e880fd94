"""A flow over the demand and further loads, with the names that its blocks stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecaster.network.flow import FlowCopula
from forecaster.types import I64, Windows


@dataclass(frozen=True, slots=True)
class JointCopula:
    """Dependence of the demand and further loads, over all steps ahead.

    Args:
        flow: Flow with a block of H steps for the demand, then one for each further load.
        further: Names of the further loads, in the order of the blocks.
    """

    flow: FlowCopula
    further: tuple[str, ...]

    def knows(self, names: tuple[str, ...]) -> bool:
        """Say whether all of these further loads have a block."""
        return set(names) <= set(self.further)

    def slots(self, windows: Windows, further: Sequence[tuple[str, ...]]) -> I64:
        """Column of the demand and of each further load, `(B, G)`; -1 where a row lacks it.

        Args:
            windows: B windows.
            further: Further loads of each row; all others are none of its loads.
        """
        rows = [
            [own.index(name) if name in names and name in own else -1 for name in self.further]
            for own, names in zip(windows.indicators, further, strict=True)
        ]
        found = np.array(rows, dtype=np.int64).reshape(len(windows), len(self.further))
        return np.concatenate([windows.demand_index[:, None], found], axis=1)
