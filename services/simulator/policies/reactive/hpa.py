"""Kubernetes HorizontalPodAutoscaler v2 with `behavior`, in step form, for arrays of workloads.

Written from the algorithm's description: integer-per-cent utilisation, tolerance, unready pods,
stabilisation windows, rate limits, bounds. One metric, one sync per step. Two readings of the
metric are offered, because results depend on it: unclipped (a queue or concurrency metric, which
may exceed 1) and clipped at 1 (a utilisation metric, with which the HPA climbs in steps). Of a step
that is longer than the period of a rate limit see `hpa_limits`.

All arrays in this file broadcast to one shape, so that the same code serves one workload and a grid
of workloads x targets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from services.simulator.policies.grid import GridView, Knob, Solo, column, count_settings
from services.simulator.policies.knobs import knob_value
from services.simulator.policies.reactive.hpa_limits import (
    SYNC_S,
    HpaEvent,
    HpaScalingPolicy,
    HpaScalingRules,
    SyncSpan,
    newer,
    reach,
)
from services.simulator.policies.view import BoolArray, FloatArray, PolicyInput

_GUARD = 1e-9
_MOST_DOUBLINGS = 60  # beyond any bound

DEFAULT_UP = HpaScalingRules(
    (HpaScalingPolicy("Pods", 4, 15.0), HpaScalingPolicy("Percent", 100, 15.0)), 0.0
)
DEFAULT_DOWN = HpaScalingRules((HpaScalingPolicy("Percent", 100, 15.0),), 300.0)


@dataclass(frozen=True, slots=True)
class HpaConfig:
    """Settings of an HPA.

    Attributes:
        target_percent: Target utilisation, a whole per cent (the knob that is tuned).
        tolerance: Relative dead band around the target.
        up: Rules upwards.
        down: Rules downwards.
        is_clipped: Whether the utilisation metric saturates at 1.
        has_behavior: False for the older path without a `behavior` block: at most `max(2n, 4)` up
            per sync of `SYNC_S`, any step down, the same stabilisation window.
    """

    target_percent: int = 60
    tolerance: float = 0.10
    up: HpaScalingRules = DEFAULT_UP
    down: HpaScalingRules = DEFAULT_DOWN
    is_clipped: bool = False
    has_behavior: bool = True

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.target_percent <= 0:
            raise ValueError(f"target_percent={self.target_percent} must be > 0")
        if self.tolerance < 0:
            raise ValueError(f"tolerance={self.tolerance} must be >= 0")


@dataclass(frozen=True, slots=True)
class HpaObservation:
    """Readings of the controller at one sync; arrays of one broadcastable shape.

    Attributes:
        now_s: Time of the sync.
        load: Demand, NaN where the metric could not be read.
        ready: Counted pods.
        unready: Pods that exist but do not serve yet (pending or starting).
        replicas: Current spec `n`.
        capacity: Load that one pod's request stands for.
        min_replicas: Lower bound.
        max_replicas: Upper bound.
        target_percent: Target utilisation, whole per cent.
        step_s: Time until the next sync that is simulated.
    """

    now_s: float
    load: FloatArray
    ready: FloatArray
    unready: FloatArray
    replicas: FloatArray
    capacity: FloatArray
    min_replicas: FloatArray
    max_replicas: FloatArray
    target_percent: FloatArray
    step_s: float


@dataclass(frozen=True, slots=True)
class HpaState:
    """Raw proposals and scale events that still matter, oldest first; NaN marks no proposal."""

    proposals: tuple[HpaEvent, ...] = ()
    changes: tuple[HpaEvent, ...] = ()


def _utilisation_percent(usage: FloatArray, pods: FloatArray, capacity: FloatArray) -> FloatArray:
    request = np.maximum(pods, 1.0) * capacity
    return np.floor(100.0 * usage / request + _GUARD)


def proposed_replicas(seen: HpaObservation, config: HpaConfig) -> FloatArray:
    """Steps 1–4: the raw proposal before stabilisation, limits and bounds.

    Returns:
        Proposals; NaN where the metric is an error (unknown load, or no counted pod).
    """
    usage = seen.load
    if config.is_clipped:
        usage = np.minimum(usage, seen.ready * seen.capacity)
    percent = _utilisation_percent(usage, seen.ready, seen.capacity)
    ratio = percent / seen.target_percent
    within = np.abs(1.0 - ratio) <= config.tolerance + _GUARD
    # whole numbers: ceil(percent * pods / target) does not suffer from the rounding of the ratio
    plain = np.where(within, seen.replicas, _ceil_ratio(percent, seen.ready, seen.target_percent))

    everyone = seen.ready + seen.unready
    diluted_percent = _utilisation_percent(usage, everyone, seen.capacity)
    diluted = diluted_percent / seen.target_percent
    keeps = (np.abs(1.0 - diluted) <= config.tolerance + _GUARD) | (diluted < 1.0)
    count = _ceil_ratio(diluted_percent, everyone, seen.target_percent)
    damped = np.where(keeps | (count < seen.replicas), seen.replicas, count)

    proposal = np.where((seen.unready > 0) & (ratio > 1.0), damped, plain)
    is_error = ~np.isfinite(usage) | (seen.ready <= 0)
    return np.where(is_error, np.nan, proposal)


def _ceil_ratio(percent: FloatArray, pods: FloatArray, target: FloatArray) -> FloatArray:
    return np.ceil(percent * pods / target - _GUARD)


def _stabilised(
    proposal: FloatArray, seen: HpaObservation, config: HpaConfig, state: HpaState
) -> FloatArray:
    """Step 6: clamp the current count into [min over up window, max over down window]."""
    lowest = proposal
    highest = proposal
    for earlier in state.proposals:
        if earlier.at_s > seen.now_s - config.up.stabilisation_s:
            lowest = np.fmin(lowest, earlier.counts)
        if earlier.at_s > seen.now_s - config.down.stabilisation_s:
            highest = np.fmax(highest, earlier.counts)
    if not config.has_behavior:
        return highest
    return np.minimum(np.maximum(seen.replicas, lowest), highest)


def _limited(
    wanted: FloatArray, seen: HpaObservation, config: HpaConfig, state: HpaState
) -> FloatArray:
    """Steps 7 and 8: rate limits and bounds."""
    span, changes = SyncSpan(seen.now_s, seen.step_s), state.changes
    if config.has_behavior:
        upper = reach(config.up, span, seen.replicas, changes, until=seen.max_replicas, sign=+1)
        lower = reach(config.down, span, seen.replicas, changes, until=seen.min_replicas, sign=-1)
    else:
        n_more = min(span.n_syncs(SYNC_S) - 1, _MOST_DOUBLINGS)
        upper = np.maximum(2.0 * seen.replicas, 4.0) * 2.0**n_more
        lower = np.zeros_like(seen.replicas)
    limited = np.clip(wanted, lower, upper)
    return np.clip(limited, seen.min_replicas, seen.max_replicas)


def reactive_proposal(seen: HpaObservation, config: HpaConfig) -> FloatArray:
    """Steps 0–5: the raw proposal; NaN where the metric is an error or a guard answers instead."""
    return np.where(_is_guarded(seen), np.nan, proposed_replicas(seen, config))


def _is_off(seen: HpaObservation) -> BoolArray:
    is_off: BoolArray = (seen.replicas == 0) & (seen.min_replicas > 0)
    return is_off


def _is_guarded(seen: HpaObservation) -> BoolArray:
    is_outside = (seen.replicas > seen.max_replicas) | (seen.replicas < seen.min_replicas)
    is_guarded: BoolArray = _is_off(seen) | is_outside
    return is_guarded


def behaved(
    proposal: FloatArray, seen: HpaObservation, config: HpaConfig, state: HpaState
) -> tuple[FloatArray, HpaState]:
    """Steps 6–8, and the guards' answer where there is no proposal.

    Args:
        proposal: Raw proposals, NaN where there is none.
        seen: What the controller read.
        config: Behaviour.
        state: Proposals and scale events so far.

    Returns:
        Replicas wanted (whole numbers as floats), and the memory for the next sync.
    """
    if not state.proposals:
        # a controller that starts records the current count as its first recommendation
        state = HpaState((HpaEvent(seen.now_s, seen.replicas + 0.0),), state.changes)
    desired = _limited(_stabilised(proposal, seen, config, state), seen, config, state)
    jump = np.clip(seen.replicas, seen.min_replicas, seen.max_replicas)
    desired = np.where(np.isfinite(proposal), desired, jump)
    desired = np.where(_is_off(seen), 0.0, desired)

    keep_s = max(config.up.stabilisation_s, config.down.stabilisation_s)
    longest_s = max((p.period_s for p in config.up.policies + config.down.policies), default=0.0)
    return desired, HpaState(
        (*newer(state.proposals, seen.now_s - keep_s), HpaEvent(seen.now_s, proposal)),
        (
            *newer(state.changes, seen.now_s - longest_s),
            HpaEvent(seen.now_s, desired - seen.replicas),
        ),
    )


def hpa_step(
    seen: HpaObservation, config: HpaConfig, state: HpaState
) -> tuple[FloatArray, HpaState]:
    """One sync of the controller for every element of the arrays.

    `config.target_percent` is ignored in favour of `seen.target_percent`.

    Returns:
        Replicas wanted (whole numbers as floats), and the memory for the next sync.
    """
    return behaved(reactive_proposal(seen, config), seen, config, state)


def observed(view: GridView, target_percent: Knob) -> HpaObservation:
    """Read a grid as the controller does, each part broadcastable to (G, W)."""
    return HpaObservation(
        now_s=view.now_s,
        load=view.last_demand(),
        ready=view.ready,
        unready=view.starting,
        replicas=view.replicas,
        capacity=view.capacity,
        min_replicas=view.min_replicas,
        max_replicas=view.max_replicas,
        target_percent=column(target_percent),
        step_s=view.step_s,
    )


def require_whole_percent(target_percent: Knob) -> None:
    """Refuse targets that an HPA cannot be given.

    Raises:
        ValueError: If a target is not a whole per cent above 0.
    """
    targets = np.atleast_1d(np.asarray(target_percent, dtype=float))
    if not np.all((targets > 0) & (targets == np.round(targets))):
        raise ValueError(f"target_percent={target_percent} must be whole numbers > 0")


@dataclass(frozen=True, slots=True, eq=False)
class HpaGrid:
    """HPAs with G targets on W workloads.

    Attributes:
        target_percent: Target utilisation, whole per cent: the knob. It replaces the config's.
        config: All other settings.
    """

    target_percent: Knob
    config: HpaConfig = field(default_factory=HpaConfig)

    def __post_init__(self) -> None:
        """Check the knob."""
        require_whole_percent(self.target_percent)

    @property
    def name(self) -> str:
        """`hpa`, or `hpa_clipped` for the reading in which the metric saturates at 1."""
        return "hpa_clipped" if self.config.is_clipped else "hpa"

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.target_percent)

    def label(self, setting: int) -> str:
        """The target of one setting."""
        return f"target {knob_value(self.target_percent, setting):g} %"

    def initial_state(self) -> HpaState:
        """No recommendation recorded yet."""
        return HpaState()

    def decide(self, view: GridView, state: HpaState) -> tuple[FloatArray, HpaState]:
        """One sync on the last completed step's demand."""
        return hpa_step(observed(view, self.target_percent), self.config, state)


@dataclass(frozen=True, slots=True)
class Hpa:
    """The HPA as a policy for one workload."""

    config: HpaConfig = field(default_factory=HpaConfig)
    name: str = "hpa"

    def initial_state(self) -> HpaState:
        """No recommendation recorded yet."""
        return HpaState()

    def decide(self, view: PolicyInput, state: HpaState) -> tuple[int, HpaState]:
        """One sync on the last completed step's demand."""
        return Solo(HpaGrid(self.config.target_percent, self.config)).decide(view, state)
