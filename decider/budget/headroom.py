"""GPUs to hold ready for what services may need together while a new node starts.

A replica for which no GPU is free waits for a node. What services may need before a node that is
asked for now would be there must be free already. How much that is together depends on how their
demands move together: here by one common factor (a Gaussian copula), whose weight is learned from
the errors of their forecasts (`decider.budget.dependence`).

How much is held is what costs least. A GPU that is held for a step costs one GPU-step. One that
is missing leaves services out of SLA, which each of them would pay its price of risk to avoid: it
does so in every decision, for replicas. So headroom grows while its next GPU averts more than it
costs, and is none where the replicas that decisions hold carry what may come already. How far out
of SLA is the response's to say: where requests are promised, one replica of twenty that is missing
costs a few requests more, not all of them.

Shapes: S paths, H horizon, P draws, L levels, N scenarios, U uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from decider.belief.capacity import replicas_needed
from decider.budget.dependence import MOST_DEPENDENCE
from decider.errors import InvalidRequest
from decider.tables.pairing import paired_draws
from decider.types import FloatArray, IntArray

PEAK_LEVELS = (0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 1.0)
"""Levels at which the law of a peak is kept; between two of them the higher one's value holds."""
_PEAK_SCORES = ndtri(np.array(PEAK_LEVELS))
USES = (1.0, 1.02, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2.0, 3.0, 5.0)
"""Loads of a replica, over the one that keeps the promise, at which the risk is kept."""
N_SCENARIOS = 4096
LEAST_RISK, MOST_RISK = 0.001, 0.5
USUAL_RISK = 0.01
"""Risk that headroom is sized by where none is stated and nobody knows what services pay for it."""


def peak_replicas(paths: FloatArray, capacity: FloatArray) -> IntArray:
    """(H, L) quantiles of the most replicas needed up to each step, at `PEAK_LEVELS`.

    Args:
        paths: (S, H) paths of the demand.
        capacity: (P,) draws of what one replica serves.

    Raises:
        InvalidRequest: Demand that is not a number, or a capacity that is not > 0.
    """
    if not (np.isfinite(paths).all() and np.isfinite(capacity).all() and (capacity > 0).all()):
        raise InvalidRequest("demand must be finite, and capacity finite and > 0")
    drawn = capacity[paired_draws(capacity.size, paths.shape[0])]
    needed = replicas_needed(np.maximum(paths, 0.0), drawn[:, None])
    peaks = np.sort(np.maximum.accumulate(needed, axis=1), axis=0)
    at = np.ceil(np.array(PEAK_LEVELS) * peaks.shape[0] - 1e-9).astype(np.int64) - 1
    return np.asarray(peaks[np.maximum(at, 0)].T, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ServiceNeed:
    """What one service may need of a GPU type.

    Attributes:
        peaks: (H, L) replicas needed, as `peak_replicas` gives them.
        step_s: Length of a step in seconds.
        held_replicas: Replicas that it has or was granted, whichever is more.
        most_replicas: No more than these are ever asked for.
        gpus_per_replica: GPUs of a replica.
        risk_price: Replica-steps that a step out of SLA is worth to it, as its decisions pay them;
            None: nobody knows.
        risk_at_use: (U,) share of a step that is out of SLA at `USES`; None: a step is out of it
            whole as soon as a replica is missing.
    """

    peaks: IntArray
    step_s: float
    held_replicas: int
    most_replicas: int
    gpus_per_replica: int
    risk_price: float | None = None
    risk_at_use: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse peaks of another shape, and counts and shares that cannot be."""
        shape = self.peaks.shape
        if len(shape) != 2 or shape[0] < 1 or shape[1] != len(PEAK_LEVELS):
            raise InvalidRequest(f"peaks has shape {shape}, must be (H, {len(PEAK_LEVELS)})")
        if not self.step_s > 0 or self.gpus_per_replica < 0:
            found = f"step_s={self.step_s}, gpus_per_replica={self.gpus_per_replica}"
            raise InvalidRequest(f"{found}: must be > 0 and >= 0")
        if self.risk_price is not None and not 0 <= self.risk_price < math.inf:
            raise InvalidRequest(f"risk_price={self.risk_price} must be finite and >= 0")
        if (risk := self.risk_at_use) is not None and not (
            risk.shape == (len(USES),) and ((risk >= 0) & (risk <= 1)).all()
        ):
            raise InvalidRequest(f"risk_at_use={risk} must be {len(USES)} shares in [0, 1]")

    def extra_replicas(self, scores: FloatArray, startup_s: FloatArray) -> IntArray:
        """(N,) replicas needed beyond those held before a node is there.

        Args:
            scores: (N,) normal score of the service's demand in each scenario.
            startup_s: (N,) start-up of a node that is asked for now. The step that is under way
                counts whole, and a start-up behind the last step is taken to end with it.
        """
        steps = np.ceil(np.minimum(startup_s / self.step_s, self.peaks.shape[0])).astype(np.int64)
        row = np.minimum(steps, self.peaks.shape[0] - 1)
        column = np.searchsorted(_PEAK_SCORES, scores, side="left")
        needed = np.minimum(self.peaks[row, column], self.most_replicas)
        return np.asarray(np.maximum(needed - self.held_replicas, 0))

    def risk_averted(self, extra: IntArray) -> FloatArray:
        """(N,) share of a step that these replicas (N,), missing till now, bring back into SLA."""
        if self.risk_at_use is None or self.held_replicas == 0:
            return np.asarray(extra > 0, dtype=np.float64)
        risk = np.maximum.accumulate(self.risk_at_use)
        return np.asarray(np.interp(1.0 + extra / self.held_replicas, USES, risk) - risk[0])


@dataclass(frozen=True, slots=True, eq=False)
class NodeWait:
    """How long a node takes, and how much demands move together meanwhile.

    Attributes:
        startup_s: (P,) draws of the time from a request to a node that can be used.
        dependence: Correlation of the services' demands within their forecasts, 0 to 0.99.
    """

    startup_s: FloatArray
    dependence: float

    def __post_init__(self) -> None:
        """Refuse impossible draws and correlations."""
        if self.startup_s.size == 0 or not (self.startup_s >= 0).all():
            raise InvalidRequest("startup_s must hold draws >= 0")
        if not 0.0 <= self.dependence <= MOST_DEPENDENCE:
            raise InvalidRequest(f"dependence={self.dependence} must be in [0, 0.99]")


@dataclass(frozen=True, slots=True, eq=False)
class JointNeed:
    """What services need together beyond what they hold, while a node starts, by scenario.

    Attributes:
        gpus: (N,) GPUs.
        shortage_price: (N,) GPU-steps that each GPU that is missing is worth for a step: what the
            services in need would pay together to be within SLA, spread over what they need. Of
            those of which that is known.
        is_priced: Of some service it is known what it pays.
        unpriced_gpus: (N,) GPUs of the services of which it is not, where it is known of others;
            None: there are none such.
    """

    gpus: IntArray
    shortage_price: FloatArray
    is_priced: bool
    unpriced_gpus: IntArray | None = None

    @property
    def priced_gpus(self) -> IntArray:
        """(N,) GPUs of the services of which it is known what they pay."""
        return self.gpus if self.unpriced_gpus is None else self.gpus - self.unpriced_gpus


def joint_need(
    services: Sequence[ServiceNeed], wait: NodeWait, generator: np.random.Generator
) -> JointNeed:
    """What services need together beyond what they hold, while a node starts.

    Args:
        services: Those that share the GPU type.
        wait: Of a node of the type; a scenario has one start-up for all services.
        generator: Draws the scenarios.
    """
    strata = ndtri((np.arange(N_SCENARIOS) + 0.5) / N_SCENARIOS)
    common = math.sqrt(wait.dependence) * generator.permutation(strata)
    picked = generator.permutation(N_SCENARIOS) % wait.startup_s.size
    startup_s, own = wait.startup_s[picked], math.sqrt(1.0 - wait.dependence)
    priced, unpriced = (np.zeros(N_SCENARIOS, dtype=np.int64) for _ in range(2))
    worth = np.zeros(N_SCENARIOS)
    for service in services:
        scores = common + own * generator.permutation(strata)
        replicas = service.extra_replicas(scores, startup_s)
        extra = replicas * service.gpus_per_replica
        if service.risk_price is None:
            unpriced += extra
            continue
        priced += extra
        averted = service.risk_averted(replicas)
        worth += averted * service.gpus_per_replica * service.risk_price
    n_priced = sum(service.risk_price is not None for service in services)
    is_mixed = 0 < n_priced < len(services)
    price = worth / np.maximum(priced, 1)
    return JointNeed(priced + unpriced, price, n_priced > 0, unpriced if is_mixed else None)


@dataclass(frozen=True, slots=True)
class HeadroomRoom:
    """What is there of a GPU type, and what there may be.

    Attributes:
        free_gpus: GPUs on nodes that no pod asks for and that are granted to no replica.
        most_gpus: GPUs that pods may still ask for below the ceiling; 0: the supply is fixed.
        chunk_gpus: GPUs of a node, by which headroom is held.
        usd_per_gpu_hour: Price.
    """

    free_gpus: int
    most_gpus: int
    chunk_gpus: int
    usd_per_gpu_hour: float

    def __post_init__(self) -> None:
        """Refuse counts that cannot be."""
        if min(self.free_gpus, self.most_gpus) < 0 or self.chunk_gpus < 1:
            raise InvalidRequest("free_gpus and most_gpus must be >= 0, chunk_gpus >= 1")
        if not 0 <= self.usd_per_gpu_hour < math.inf:
            raise InvalidRequest(f"usd_per_gpu_hour={self.usd_per_gpu_hour} must be finite, >= 0")


@dataclass(frozen=True, slots=True)
class Headroom:
    """GPUs to have ready beyond those in use, those that are free now among them.

    Attributes:
        risk: Chance of a need beyond the headroom that was asked for, or that costs least.
        need_gpus: What services need together beyond what they hold, exceeded with that chance.
        gpus: To have ready: the need in whole chunks, as far as the ceiling allows.
        n_chunks: The same in chunks.
        risk_before: Chance that the need exceeds what is free now.
        risk_after: Chance that it exceeds the headroom, or what is free where that is more.
        usd_per_hour: What the headroom costs while it is held.
        is_capped: The ceiling allows less than the need.
    """

    risk: float
    need_gpus: int
    gpus: int
    n_chunks: int
    risk_before: float
    risk_after: float
    usd_per_hour: float
    is_capped: bool

    @property
    def risk_averted(self) -> float:
        """By how much holding it lowers the chance of a need that nothing is free for."""
        return self.risk_before - self.risk_after


def size_headroom(need: JointNeed, room: HeadroomRoom, risk: float | None = None) -> Headroom:
    """Headroom in whole chunks: the least that keeps a risk, or what costs least.

    Free GPUs count as part of it: what adds nodes takes nodes that nobody asks for away again, so
    they stay free only as far as headroom is held.

    Args:
        need: As `joint_need` gives it.
        room: What is there, and what may be.
        risk: In [0.001, 0.5]; None: what costs least, and for services of which nobody knows what
            they pay for risk, beside it, what they need with `USUAL_RISK`.

    Raises:
        InvalidRequest: The risk is not in that range, or there is no scenario.
    """
    if risk is not None and not LEAST_RISK <= risk <= MOST_RISK:
        raise InvalidRequest(f"risk={risk} must be in [{LEAST_RISK}, {MOST_RISK}]")
    if need.gpus.size == 0:
        raise InvalidRequest("need must hold at least one scenario")
    if risk is None and need.is_priced:
        wanted = cheapest_gpus(need)
        if need.unpriced_gpus is not None:
            wanted += _exceeded_with(need.unpriced_gpus, USUAL_RISK)
        risk = float((need.gpus > wanted).mean())
    else:
        risk = USUAL_RISK if risk is None else risk
        wanted = _exceeded_with(need.gpus, risk)
    n_wanted = -(-wanted // room.chunk_gpus)
    n_chunks = min(n_wanted, room.most_gpus // room.chunk_gpus)
    gpus = n_chunks * room.chunk_gpus
    return Headroom(
        risk,
        wanted,
        gpus,
        n_chunks,
        float((need.gpus > room.free_gpus).mean()),
        float((need.gpus > max(gpus, room.free_gpus)).mean()),
        gpus * room.usd_per_gpu_hour,
        n_chunks < n_wanted,
    )


def _exceeded_with(gpus: IntArray, risk: float) -> int:
    """The least GPUs that the need (N,) exceeds with at most `risk`."""
    n_exceeding = math.floor(risk * gpus.size + 1e-9)
    return int(np.sort(gpus)[gpus.size - 1 - n_exceeding])


def cheapest_gpus(need: JointNeed) -> int:
    """The fewest GPUs at which what is held and what is missing cost least together.

    Of the services of which it is known what they pay.

    With h held the cost of a step is `h + mean(shortage_price * max(gpus - h, 0))`: convex in h, so
    one GPU more is worth it as long as the prices of the scenarios that need more than h have a
    mean above one.
    """
    order = np.argsort(need.priced_gpus, kind="stable")
    gpus, price = need.priced_gpus[order], need.shortage_price[order]
    above = np.concatenate([np.cumsum(price[::-1])[::-1], [0.0]]) / gpus.size
    held = np.unique(np.concatenate([[0], gpus]))
    worth_more = above[np.searchsorted(gpus, held, side="right")]
    return int(held[np.argmax(worth_more <= 1.0)])
