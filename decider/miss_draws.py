"""Response: from the load of a replica to the share of requests that miss a goal.

    miss(z) = floor + (1 - floor) * u**slope / (1 + u**slope),   u = z / capacity

with z the load per ready replica. At z = capacity half of what replicas can cure is missed; the
floor is what no number of replicas cures. The misses of a step scatter around it:

    missed ~ BetaBinomial(total, miss(z) * concentration, (1 - miss(z)) * concentration)

A capacity with a sharp edge is the limit of an endless slope. Where several loads bind a replica, z
is the load that their equivalent demand makes (`decider.use`).

Where a workload has variants, z is the load per reference replica of what is ready. It is counted
by what is stated; what a further variant truly carries against the first is learned beside it:

    z = stated load / (1 + sum over further variants v of mix_v * (worth_v - 1))

with mix_v the variant's share of the stated capacity that was ready.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from decider.errors import InvalidRequest
from decider.use import MAX_FURTHER, log_use

FloatArray = npt.NDArray[np.float64]

NO_MIX: FloatArray = np.zeros((0, 0))
"""Of steps of a workload without variants."""
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
        sharing: (P,) sharing exponent of the loads, >= 1; empty: 1, which one load does not use.
        further: (P, F) as `capacity`, of each further load alone; > 0; empty: there is none.
        worth: (P, V) what a replica of each variant but the first carries, over what is stated of
            it relative to the first; > 0; empty: there is one kind of replica, or the draws are of
            the mix that runs (`at_mix`).
    """

    capacity: FloatArray
    slope: FloatArray
    floor: FloatArray
    concentration: FloatArray
    sharing: FloatArray = field(default_factory=lambda: np.zeros(0))
    further: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    worth: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

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
        self._settle_loads()
        self._settle_variants()

    def _settle_variants(self) -> None:
        """Refuse what no variants are worth; what is empty is made whole."""
        size = self.capacity.size
        if self.worth.size == 0:
            object.__setattr__(self, "worth", np.zeros((size, 0)))
        if self.worth.ndim != 2 or self.worth.shape[0] != size:
            raise InvalidRequest(f"worth has shape {self.worth.shape}, must be (P={size}, V)")
        if not (np.isfinite(self.worth).all() and (self.worth > 0).all()):
            raise InvalidRequest("worth must be finite and > 0")

    def _settle_loads(self) -> None:
        """Refuse what no several loads have; what is empty is made whole."""
        size = self.capacity.size
        if self.further.size == 0:
            object.__setattr__(self, "further", np.zeros((size, 0)))
            object.__setattr__(self, "sharing", np.ones(size))
            return
        if self.sharing.size == 0:
            object.__setattr__(self, "sharing", np.ones(size))
        if self.further.ndim != 2 or self.further.shape[0] != size or self.n_further > MAX_FURTHER:
            shape = f"further has shape {self.further.shape}"
            raise InvalidRequest(f"{shape}, must be (P={size}, F) with F <= {MAX_FURTHER}")
        if self.sharing.shape != (size,):
            raise InvalidRequest(f"sharing has shape {self.sharing.shape}, must be (P={size},)")
        if not (np.isfinite(self.further).all() and (self.further > 0).all()):
            raise InvalidRequest("further must be finite and > 0")
        if not (np.isfinite(self.sharing).all() and (self.sharing >= 1).all()):
            raise InvalidRequest("sharing must be finite and >= 1")

    @property
    def n_further(self) -> int:
        """Further loads F besides the demand."""
        return int(self.further.shape[1])

    @property
    def n_variants(self) -> int:
        """Variants V besides the first."""
        return int(self.worth.shape[1])

    def at_mix(self, mix: FloatArray, worth: FloatArray) -> MissDraws:
        """The response per reference replica of a mix, as `worth` counts these; without `worth`.

        What a mix as a whole carries is known better than what each variant does, and is kept.

        Args:
            mix: (V,) share of the stated capacity that is each further variant's.
            worth: (V,) factor on what is stated of each by which reference replicas are counted.
        """
        if not mix.shape == worth.shape == (self.n_variants,):
            found = f"mix has shape {mix.shape}, worth {worth.shape}"
            raise InvalidRequest(f"{found}, must be (V={self.n_variants},)")
        scale = self._carried(mix[None])[:, 0] / (1.0 + mix @ (worth - 1.0))
        alone = (self.slope, self.floor, self.concentration, self.sharing)
        return MissDraws(self.capacity * scale, *alone, self.further * scale[:, None])

    def _carried(self, mix: FloatArray) -> FloatArray:
        """(P, N) what mixes (N, V) carry, over what is stated of them relative to the first."""
        return np.asarray(1.0 + (self.worth - 1.0) @ mix.T)

    def equivalent(self, load: FloatArray) -> FloatArray:
        """(P, N) equivalent demand of loads (N, 1+F); without further loads (N,) is one too."""
        demand = load if load.ndim == 1 else load[:, 0]
        self._check_loads(load)
        if self.n_further == 0:
            return np.repeat(np.asarray(demand, dtype=np.float64)[None, :], self.slope.size, axis=0)
        return np.asarray(self.capacity[:, None] * np.exp(self.log_use(load)))

    def curable(self, load: FloatArray, mix: FloatArray = NO_MIX) -> FloatArray:
        """(P, N) share that misses beyond the floor, of what the floor leaves.

        Args:
            load: (N,) loads per ready replica, or (N, 1+F) vectors of them; with variants per
                reference replica as stated.
            mix: (N, V) share of the stated capacity ready that was each further variant's.
        """
        log_use = self.log_use(load)
        if self.n_variants:
            if mix.shape != (load.shape[0], self.n_variants):
                raise InvalidRequest(f"mix has shape {mix.shape}, must be (N, V={self.n_variants})")
            log_use = log_use - np.log(self._carried(mix))
        return np.asarray(expit(self.slope[:, None] * log_use))

    def log_use(self, load: FloatArray) -> FloatArray:
        """(P, N) logarithm of the use that loads (N, 1+F) make of a replica; of one load (N,)."""
        self._check_loads(load)
        log_load = np.log(np.maximum(load, 1e-300))
        if self.n_further == 0:
            return np.asarray(log_load.reshape(1, -1) - np.log(self.capacity)[:, None])
        capacities = np.log(np.column_stack([self.capacity, self.further]))
        log_share = log_load.T[:, None, :] - capacities.T[:, :, None]
        return log_use(log_share, self.sharing[:, None])

    def _check_loads(self, load: FloatArray) -> None:
        if not (load.shape[1:] == (1 + self.n_further,) or (load.ndim == 1 and not self.n_further)):
            raise InvalidRequest(f"load has shape {load.shape}, must be (N, {1 + self.n_further})")

    def miss(self, load: FloatArray, mix: FloatArray = NO_MIX) -> FloatArray:
        """(P, N) expected share that misses at loads, and mixes, as of `curable`."""
        floor = self.floor[:, None]
        return np.asarray(floor + (1.0 - floor) * self.curable(load, mix))

    def load_within(self, share: float) -> FloatArray:
        """(P,) equivalent demand per replica at which `share` of what can be cured is missed.

        Args:
            share: In (0, 1).
        """
        if not 0 < share < 1:
            raise InvalidRequest(f"share={share} must lie in (0, 1)")
        return np.asarray(self.capacity * np.exp(logit(share) / self.slope))

    def rows(self, chosen: npt.NDArray[np.int64]) -> MissDraws:
        """Some of the draws, in the order of `chosen`."""
        return MissDraws.from_array(self.to_array()[chosen], self.n_variants)

    def to_array(self) -> FloatArray:
        """(P, 4) the draws in one array, in the order of the attributes; (P, 5+F) of several loads.

        Without further loads there is no sharing exponent in it. V columns more with variants.
        """
        alone = [self.capacity, self.slope, self.floor, self.concentration]
        if self.n_further == 0:
            return np.column_stack([*alone, self.worth])
        return np.column_stack([*alone, self.sharing, self.further, self.worth])

    @classmethod
    def from_array(cls, draws: FloatArray, n_variants: int = 0) -> MissDraws:
        """The inverse of `to_array`.

        Args:
            draws: (P, 4) or (P, 5+F), and V columns more.
            n_variants: V.

        Raises:
            InvalidRequest: The array is not of that shape, or holds a value that no response has.
        """
        if n_variants and draws.ndim == 2 and draws.shape[1] > n_variants:
            alone = cls.from_array(draws[:, :-n_variants])
            return replace(alone, worth=draws[:, -n_variants:])
        columns = draws.shape[1] if draws.ndim == 2 else 0
        if columns == 4:
            return cls(*draws.T)
        if not 6 <= columns <= 5 + MAX_FURTHER:
            expected = f"expected (P, 4), or (P, 6) to (P, {5 + MAX_FURTHER}) of several loads"
            raise InvalidRequest(f"response draws have shape {draws.shape}, {expected}")
        capacity, slope, floor, concentration, sharing = draws[:, :5].T
        return cls(capacity, slope, floor, concentration, sharing, draws[:, 5:])
