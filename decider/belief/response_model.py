"""Response curves: latency against load, learned over the workloads of a GPU type.

    latency = base * (1 + a * rho**b / (1 - rho)),   rho = load per ready replica / kappa

kappa is the load at which latency diverges. The capacity within an SLO is the load at which the
curve reaches the SLO's latency: `CurveDraws.capacity`. The model that PyMC samples is
`decider.belief.model.response_model`; here are its data, its draws and what follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from decider.belief.capacity import congestion, utilisation_within
from decider.errors import InvalidRequest
from decider.types import FloatArray, IntArray

START_ABOVE_LOAD = 1.1
"""Chains start with the divergence this many times above the largest load seen."""
NEAR_IDLE = 0.1
"""Level of the latencies seen that stands for an idle replica where chains start."""


@dataclass(frozen=True, slots=True)
class ResponseData:
    """Latencies of steps and the loads they were measured at.

    Attributes:
        latency_ms: (N,) latency of a step; > 0.
        load: (N,) load per ready replica in that step; > 0.
        workload: (N,) index of the workload.
        prior_load: (W,) stated capacity per workload, around which kappa is expected; > 0.
        gpu_type: (W,) index of each workload's GPU type.
    """

    latency_ms: FloatArray
    load: FloatArray
    workload: IntArray
    prior_load: FloatArray
    gpu_type: IntArray

    def __post_init__(self) -> None:
        """Refuse data that no model could use."""
        n = self.latency_ms.size
        if n == 0 or self.load.size != n or self.workload.size != n:
            raise InvalidRequest("latency_ms, load and workload must be (N,) with N >= 1")
        if self.prior_load.size != self.gpu_type.size:
            raise InvalidRequest("prior_load and gpu_type must be (W,)")
        for name in ("latency_ms", "load", "prior_load"):
            values = getattr(self, name)
            if not (np.isfinite(values).all() and (values > 0).all()):
                raise InvalidRequest(f"{name} must be finite and > 0: leave out what is unknown")
        if self.workload.min() < 0 or self.workload.max() >= self.prior_load.size:
            raise InvalidRequest("workload must index prior_load")
        if self.gpu_type.min() < 0:
            raise InvalidRequest("gpu_type must be >= 0")

    @property
    def n_types(self) -> int:
        """Number of GPU types."""
        return int(self.gpu_type.max()) + 1

    def near(self) -> dict[str, FloatArray]:
        """(W,) crude values of the curves' log parameters, where chains start.

        kappa starts above all loads seen. From below, a chain would take the loads beyond its
        kappa for saturated ones and might never leave that mode.
        """
        n = self.prior_load.size
        largest = np.zeros(n)
        np.maximum.at(largest, self.workload, self.load / self.prior_load[self.workload])
        logs = np.log(self.latency_ms)
        base = np.full(n, float(np.quantile(logs, NEAR_IDLE)))
        for row in np.unique(self.workload):
            base[row] = np.quantile(logs[self.workload == row], NEAR_IDLE)
        factor = np.log(np.maximum(1.25, START_ABOVE_LOAD * largest))
        return {"log_base": base, "log_queueing": np.full(n, np.log(0.5)), "log_factor": factor}


@dataclass(frozen=True, slots=True)
class CurveDraws:
    """Draws of one workload's curve; row p of each belongs together.

    Attributes:
        base_ms: (P,) latency of an idle replica.
        queueing: (P,) weight a of queueing.
        sharpness: (P,) exponent b of the knee.
        kappa: (P,) load per replica at which latency diverges.
        noise: (P,) standard deviation of the log latency of a step around the curve.
    """

    base_ms: FloatArray
    queueing: FloatArray
    sharpness: FloatArray
    kappa: FloatArray
    noise: FloatArray

    def log_latency(self, load: FloatArray) -> FloatArray:
        """(P, N) log latency in log ms at loads per ready replica (N,) > 0.

        Finite beyond kappa, too: see `decider.belief.capacity.congestion`.
        """
        rho = load[None, :] / self.kappa[:, None]
        waiting = self.queueing[:, None] * congestion(rho, self.sharpness[:, None])
        return np.asarray(np.log(self.base_ms)[:, None] + np.log1p(waiting))

    def capacity(self, slo_ms: float) -> FloatArray:
        """(P,) load per replica at which the curve reaches `slo_ms`; 0 where idle is too slow."""
        if not (np.isfinite(slo_ms) and slo_ms > 0):
            raise InvalidRequest(f"slo_ms={slo_ms} must be finite and > 0")
        excess = (slo_ms / self.base_ms - 1.0) / self.queueing
        return self.kappa * utilisation_within(excess, self.sharpness)

    def to_array(self) -> FloatArray:
        """(P, 5) the draws in one array, in the order of the attributes."""
        columns = (self.base_ms, self.queueing, self.sharpness, self.kappa, self.noise)
        return np.stack(columns, axis=1)

    @classmethod
    def from_array(cls, draws: FloatArray) -> CurveDraws:
        """The inverse of `to_array`.

        Raises:
            InvalidRequest: The array is not (P, 5) or holds a value that no curve has.
        """
        if draws.ndim != 2 or draws.shape[1] != 5:
            raise InvalidRequest(f"curve draws have shape {draws.shape}, expected (P, 5)")
        if not (np.isfinite(draws).all() and (draws > 0).all()):
            raise InvalidRequest("curve draws must be finite and > 0")
        return cls(*draws.T)


@dataclass(frozen=True, slots=True)
class ResponsePosterior:
    """Draws of all workloads' curves.

    Attributes:
        base_ms: (P, W) latency of an idle replica.
        queueing: (P, W) weight of queueing.
        kappa: (P, W) load at which latency diverges.
        sharpness: (P,) exponent of the knee.
        noise: (P, G) standard deviation of log latency, per GPU type.
        gpu_type: (W,) index of each workload's GPU type.
    """

    base_ms: FloatArray
    queueing: FloatArray
    kappa: FloatArray
    sharpness: FloatArray
    noise: FloatArray
    gpu_type: IntArray

    def curve(self, row: int) -> CurveDraws:
        """Draws of the curve of workload `row`."""
        noise = self.noise[:, int(self.gpu_type[row])]
        columns = (self.base_ms[:, row], self.queueing[:, row])
        return CurveDraws(*columns, self.sharpness, self.kappa[:, row], noise)

    def capacity(self, slo_ms: FloatArray) -> FloatArray:
        """(P, W) load that one replica serves within each workload's SLO latency (W,)."""
        rows = range(self.kappa.shape[1])
        return np.stack([self.curve(row).capacity(float(slo_ms[row])) for row in rows], axis=1)


def relative_capacity_new(
    capacity: FloatArray, prior_load: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Capacity over stated capacity of a further workload, from those that were measured.

    The logarithms of the W measured ratios are taken as a normal sample; a further one then
    follows a Student t with W - 1 degrees of freedom (Gelman et al., Bayesian Data Analysis,
    3rd ed., section 3.2), once per draw.

    Args:
        capacity: (P, W) draws of the measured workloads' capacities; > 0.
        prior_load: (W,) their stated capacities.
        rng: Generator.

    Returns:
        (P,) draws of the ratio.
    """
    n = prior_load.size
    if n < 2 or not (capacity > 0).all():
        raise InvalidRequest(f"{n} workloads: at least two, all with capacity > 0, are needed")
    logs = np.log(capacity) - np.log(prior_load)
    levels = rng.uniform(size=capacity.shape[0])
    scale = logs.std(axis=1, ddof=1) * np.sqrt(1.0 + 1.0 / n)
    return np.asarray(np.exp(logs.mean(axis=1) + scale * stdtrit(n - 1, levels)))
