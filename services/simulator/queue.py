"""A fluid queue for ready replicas: what waits, how long, who is late, what is lost.

Load flows in at the rate of the demand and is served at the rate of the ready replicas at
saturation, which is the capacity within the SLO over `slo_utilisation`. What is not served waits.
Nobody waits longer than a timeout: load that would have to gives up and is lost. Where no replica
is ready, as much load is kept as one replica serves within the timeout.

Demand and ready replicas are constant within a piece of a step, so the backlog is piecewise linear
between 0 and its bound, and every integral is exact. A request that arrives while load waits sees
the response curve at saturation plus the wait, backlog over service rate; any other sees the
response curve at its utilisation.

Shapes: G settings, W workloads, E pieces of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.belief.capacity import SATURATION, ResponseCurve
from services.simulator.course import FloatArray

_ROUNDING = 1e-6
"""Relative slack on the SLO: exactly enough replicas are enough."""


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """How a replica behaves beyond its SLO.

    Attributes:
        curve: Latency of a replica against its utilisation.
        slo_utilisation: Utilisation of a replica that serves its capacity within the SLO.
        slo_ms: Latency SLO; None: the curve's latency at `slo_utilisation`, so that the capacity
            and the SLO say the same.
        timeout_s: Longest wait; infinite: nobody gives up.
    """

    curve: ResponseCurve
    slo_utilisation: float = 0.85
    slo_ms: float | None = None
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what makes no queue."""
        if not 0 < self.slo_utilisation < SATURATION:
            raise ValueError(
                f"slo_utilisation={self.slo_utilisation} must lie in (0, {SATURATION})"
            )
        if self.slo_ms is not None and not self.slo_ms > 0:
            raise ValueError(f"slo_ms={self.slo_ms} must be > 0")
        if not 1e3 * self.timeout_s > self.latency_slo_ms:
            raise ValueError(
                f"timeout_s={self.timeout_s} must be longer than the latency SLO of "
                f"{self.latency_slo_ms:.4g} ms: who gives up counts as late"
            )

    @property
    def latency_slo_ms(self) -> float:
        """The latency SLO in use."""
        if self.slo_ms is not None:
            return self.slo_ms
        return float(self.curve.latency_ms(np.asarray(self.slo_utilisation)))


@dataclass(frozen=True, slots=True, eq=False)
class QueueStep:
    """One step of a queue; arrays (G, W). Load is in units of demand x seconds.

    Attributes:
        backlog: Load that waits at the end.
        served: Load that was served.
        lost: Load that gave up.
        wait_s: Mean wait of what arrived; NaN where nothing did.
        latency_ms: Mean latency of what arrived, its wait included; NaN where nothing did.
        late_ratio: Share of what arrived that is later than the SLO; NaN where nothing arrived.
    """

    backlog: FloatArray
    served: FloatArray
    lost: FloatArray
    wait_s: FloatArray
    latency_ms: FloatArray
    late_ratio: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """A backlog (G, W) that moves at a constant speed between 0 and a bound, for a piece."""

    start: FloatArray
    speed: FloatArray
    most: FloatArray
    width_s: FloatArray

    def moving_s(self) -> FloatArray:
        """Time until it stands still: at 0, at the bound, or when the piece ends."""
        room = np.where(self.speed > 0, self.most - self.start, self.start)
        is_moving = self.speed != 0
        pace = np.where(is_moving, np.abs(self.speed), 1.0)
        return np.where(is_moving, np.minimum(self.width_s, room / pace), 0.0)

    def end(self) -> FloatArray:
        """Backlog at the end of the piece."""
        return np.clip(self.start + self.speed * self.width_s, 0.0, self.most)

    def overflow(self) -> FloatArray:
        """Load that found the bound reached."""
        return np.maximum(self.start + self.speed * self.width_s - self.most, 0.0)

    def integral(self) -> FloatArray:
        """Backlog x time."""
        moving_s, end = self.moving_s(), self.end()
        return 0.5 * (self.start + end) * moving_s + end * (self.width_s - moving_s)

    def time_above(self, level: FloatArray) -> FloatArray:
        """Time with more than `level` >= 0 waiting."""
        moving_s, end = self.moving_s(), self.end()
        pace = np.where(self.speed != 0, np.abs(self.speed), 1.0)
        crossing_s = (np.maximum(self.start, end) - level) / pace
        still_s = np.where(end > level, self.width_s - moving_s, 0.0)
        return np.asarray(np.clip(crossing_s, 0.0, moving_s) + still_s)


class FluidQueue:
    """The backlog of G settings of W workloads, advanced step by step.

    Args:
        config: How replicas behave.
        shape: (G, W).

    Attributes:
        backlog: (G, W) load that waits.
    """

    def __init__(self, config: QueueConfig, shape: tuple[int, int]) -> None:
        self._config = config
        self._slo_ms = config.latency_slo_ms * (1.0 + _ROUNDING)
        self._full_ms = float(config.curve.latency_ms(np.asarray(SATURATION)))
        self.backlog = np.zeros(shape)

    def step(
        self, load: FloatArray, capacity: FloatArray, width_s: FloatArray, ready: FloatArray
    ) -> QueueStep:
        """Let one step pass.

        Args:
            load: (W,) demand; 0 where it is unknown.
            capacity: (W,) load of one replica within the SLO.
            width_s: (G, W, E) lengths of the pieces, in order; broadcastable.
            ready: (G, W, E) ready replicas in each; broadcastable.
        """
        shape = self.backlog.shape
        served, lost, wait, latency, late = (np.zeros(shape) for _ in range(5))
        one = capacity / self._config.slo_utilisation
        for e in range(width_s.shape[-1]):
            width = np.broadcast_to(width_s[..., e], shape)
            if not width.any():
                continue
            rate = np.broadcast_to(ready[..., e] * one, shape)
            most = self._config.timeout_s * np.where(rate > 0, rate, one)
            start = np.minimum(self.backlog, most)
            path = _Path(start, load - rate, most, width)
            lost += self.backlog - start + path.overflow()
            busy_s = path.time_above(np.zeros(shape))
            served += rate * busy_s + np.minimum(load, rate) * (width - busy_s)
            met = self._met(path, load, rate)
            wait += met[0]
            latency += met[1]
            late += met[2]
            self.backlog = path.end()
        arriving_s = np.where(load > 0, width_s.sum(axis=-1), np.nan)
        wait_s, latency_ms = wait / arriving_s, (latency + 1e3 * wait) / arriving_s
        return QueueStep(self.backlog, served, lost, wait_s, latency_ms, late / arriving_s)

    def _met(
        self, path: _Path, load: FloatArray, rate: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What arrivals meet, integrated over a piece: wait, latency without it, being late."""
        has_any = rate > 0
        safe = np.where(has_any, rate, 1.0)
        calm_ms = self._config.curve.latency_ms(np.minimum(load / safe, SATURATION))
        # Who arrives while nobody serves waits, and is late: how long is not known but for its end.
        busy_s = np.where(has_any, path.time_above(np.zeros_like(safe)), path.width_s)
        calm_s = path.width_s - busy_s
        wait = path.integral() / safe
        blocked = ~has_any & (path.width_s > 0)
        wait[~has_any] = 0.0
        wait[blocked] = self._config.timeout_s * path.width_s[blocked]
        slack_s = max(0.0, self._slo_ms - self._full_ms) / 1e3
        late_s = busy_s
        if self._full_ms <= self._slo_ms:
            late_s = np.where(has_any, path.time_above(slack_s * safe), path.width_s)
        late_s = late_s + np.where(calm_ms > self._slo_ms, calm_s, 0.0)
        return wait, calm_ms * calm_s + self._full_ms * busy_s, late_s
