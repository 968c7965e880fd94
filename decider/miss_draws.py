"""Response: from the load of a replica to the share of requests that miss a goal.

    miss(z) = floor + (1 - floor) * u**slope / (1 + u**slope),   u = z / capacity

with z the load per ready replica. At z = capacity half of what replicas can cure is missed; the
floor is what no number of replicas cures. The misses of a step scatter around it:

    missed ~ BetaBinomial(total, miss(z) * concentration, (1 - miss(z)) * concentration)

A capacity with a sharp edge is the limit of an endless slope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from decider.errors import InvalidRequest

FloatArray = npt.NDArray[np.float64]

_EDGE = 1e-9
"""How near to none and to all an expected share of misses may come."""


def inside(share: Any) -> Any:
    """Shares in [0, 1], an array or a tensor, moved off both ends: no step is impossible there."""
    return _EDGE + (1.0 - 2.0 * _EDGE) * share


@dataclass(frozen=True, slots=True)
class MissDraws:
    """Draws of one workload's response; row p of each belongs together.

    Attributes:
        capacity: (P,) load per replica at which half of what can be cured is missed; > 0.
        slope: (P,) steepness on the logarithm of the load; > 0.
        floor: (P,) share that misses at any load, in [0, 1).
        concentration: (P,) how close the misses of a step keep to their share; > 0.
    """

    capacity: FloatArray
    slope: FloatArray
    floor: FloatArray
    concentration: FloatArray

    def __post_init__(self) -> None:
        """Refuse draws that no response has."""
        shape = self.capacity.shape
        for name in ("capacity", "slope", "floor", "concentration"):
            values: FloatArray = getattr(self, name)
            if values.ndim != 1 or values.shape != shape or values.size == 0:
                raise InvalidRequest(f"{name} has shape {values.shape}, must be (P,), as capacity")
            least_holds = (values >= 0).all() if name == "floor" else (values > 0).all()
            if not (np.isfinite(values).all() and least_holds):
                raise InvalidRequest(f"{name} must be finite and > 0 (floor: >= 0)")
        if not (self.floor < 1).all():
            raise InvalidRequest("floor must be < 1")

    def curable(self, load: FloatArray) -> FloatArray:
        """(P, N) share that misses beyond the floor, of what the floor leaves, at loads (N,)."""
        log_use = np.log(np.maximum(load, 1e-300))[None, :] - np.log(self.capacity)[:, None]
        return np.asarray(expit(self.slope[:, None] * log_use))

    def miss(self, load: FloatArray) -> FloatArray:
        """(P, N) expected share that misses at loads per ready replica (N,)."""
        floor = self.floor[:, None]
        return np.asarray(floor + (1.0 - floor) * self.curable(load))

    def load_within(self, share: float) -> FloatArray:
        """(P,) load per replica at which `share` in (0, 1) of what can be cured is missed."""
        if not 0 < share < 1:
            raise InvalidRequest(f"share={share} must lie in (0, 1)")
        return np.asarray(self.capacity * np.exp(logit(share) / self.slope))

    def rows(self, chosen: npt.NDArray[np.int64]) -> MissDraws:
        """Some of the draws, in the order of `chosen`."""
        return MissDraws(*self.to_array()[chosen].T)

    def to_array(self) -> FloatArray:
        """(P, 4) the draws in one array, in the order of the attributes."""
        return np.stack([self.capacity, self.slope, self.floor, self.concentration], axis=1)

    @classmethod
    def from_array(cls, draws: FloatArray) -> MissDraws:
        """The inverse of `to_array`.

        Raises:
            InvalidRequest: The array is not (P, 4) or holds a value that no response has.
        """
        if draws.ndim != 2 or draws.shape[1] != 4:
            raise InvalidRequest(f"response draws have shape {draws.shape}, expected (P, 4)")
        return cls(*draws.T)
