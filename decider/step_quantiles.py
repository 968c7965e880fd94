"""A forecast's quantile function, step by step.

Shapes: Q levels, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decider.errors import require

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StepQuantiles:
    """The demand of each step by its quantiles: what the sample paths are a sample of.

    Between levels the quantile function is linear. Beyond the outermost ones it has exponential
    tails, whose rate is that between the outermost level and the second one from it
    (`forecaster.quantiles`).

    Attributes:
        levels: (Q,) increasing levels in (0, 1).
        values: (Q, H) quantiles, in the unit of the demand.
    """

    levels: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        """Refuse what is no set of levels; the values are judged where they are used."""
        levels, shape = self.levels, self.values.shape
        # an array takes longer to print than to check: it is printed where it is wrong
        if levels.ndim != 1 or levels.size < 2:
            require(False, f"levels={levels}: at least two are needed")
        if not ((np.diff(levels) > 0).all() and levels[0] > 0 and levels[-1] < 1):
            require(False, f"levels={levels} must increase within (0, 1)")
        expected = f"must be ({levels.size}, H) with H >= 1"
        is_table = len(shape) == 2 and shape[0] == levels.size and shape[1] >= 1
        require(is_table, f"values has shape {shape}, {expected}")

    @property
    def is_usable(self) -> bool:
        """All values are finite."""
        return bool(np.all(np.isfinite(self.values)))

    def aged(self, by_steps: int) -> StepQuantiles:
        """The same function as it looks `by_steps` later; the last step stands for what follows."""
        if by_steps == 0:
            return self
        at = np.minimum(np.arange(self.values.shape[1]) + by_steps, self.values.shape[1] - 1)
        return StepQuantiles(self.levels, self.values[:, at])
