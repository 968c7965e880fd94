"""The fluid queue over a whole course, beside a run of the grid simulator or after it.

Shapes: G settings, W workloads, T steps, E pieces of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from services.simulator.course import Course, FloatArray
from services.simulator.grid_run import GridRun, Replicas
from services.simulator.queue import FluidQueue, QueueConfig


@dataclass(frozen=True, slots=True, eq=False)
class QueueRun:
    """A queue over a course; arrays (G, W, T), as in `QueueStep`.

    Where demand is unknown nothing is taken to arrive, and waits and latencies are NaN. Where a
    workload does not exist, loads are zero and waits and latencies NaN.

    Attributes:
        backlog: Load that waits at the end of the step, demand x seconds.
        served: Load that was served.
        lost: Load that gave up.
        wait_s: Mean wait of what arrived.
        latency_ms: Mean latency of what arrived.
        late_ratio: Share of what arrived that is later than the SLO.
    """

    backlog: npt.NDArray[np.float32]
    served: npt.NDArray[np.float32]
    lost: npt.NDArray[np.float32]
    wait_s: npt.NDArray[np.float32]
    latency_ms: npt.NDArray[np.float32]
    late_ratio: npt.NDArray[np.float32]

    def late_share(self, course: Course) -> FloatArray:
        """(G, W) share of all that arrived that was late; NaN where nothing arrived."""
        weight = np.where(np.isfinite(self.late_ratio), arriving(course), 0.0)
        late = (weight * np.nan_to_num(self.late_ratio)).sum(axis=2)
        total = weight.sum(axis=2)
        return np.asarray(late / np.where(total > 0, total, np.nan))


def arriving(course: Course) -> FloatArray:
    """(W, T) load that arrives: 0 where demand is unknown or the workload does not exist."""
    return np.where(course.is_live, np.nan_to_num(course.demand), 0.0)


class QueueWatch:
    """Runs the queue beside `simulate_grid`, exact within steps: pass it as `watch`.

    Args:
        course: What happens.
        config: How replicas behave.
        n_settings: G.
    """

    def __init__(self, course: Course, config: QueueConfig, n_settings: int) -> None:
        self._course = course
        self._load = arriving(course)
        self._capacity = course.true_capacity()
        shape = (n_settings, course.n_workloads)
        self._queue = FluidQueue(config, shape)
        self._arrays = {
            field.name: np.zeros((course.n_steps, *shape), dtype=np.float32)
            for field in fields(QueueRun)
        }

    def __call__(self, t: int, replicas: Replicas) -> None:
        """Let step `t` pass with the replicas that are ready in it."""
        start_s = self._course.start_s + t * self._course.step_s
        width_s, ready = replicas.pieces(
            np.arange(self._queue.backlog.size), (start_s, start_s + self._course.step_s)
        )
        n_pieces = width_s.shape[1]
        shape = (*self._queue.backlog.shape, n_pieces)
        self.step(t, width_s.reshape(shape), ready.reshape(shape).astype(float))

    def step(self, t: int, width_s: FloatArray, ready: FloatArray) -> None:
        """Let step `t` pass with the given pieces (G, W, E)."""
        made = self._queue.step(self._load[:, t], self._capacity[:, t], width_s, ready)
        live = self._course.is_live[:, t]
        for name, array in self._arrays.items():
            value = getattr(made, name)
            is_load = name in ("backlog", "served", "lost")
            array[t] = np.where(live, value, 0.0 if is_load else np.nan)

    def run(self) -> QueueRun:
        """What was recorded."""
        return QueueRun(**{name: np.moveaxis(a, 0, 2) for name, a in self._arrays.items()})


def queue_of_run(course: Course, run: GridRun, config: QueueConfig) -> QueueRun:
    """The queue of a finished run, with each step's mean ready replicas throughout the step.

    Cheaper than `QueueWatch` where only some settings of a grid are of interest; it knows nothing
    of when within a step a start landed.

    Args:
        course: What happened.
        run: What was ready.
        config: How replicas behave.
    """
    ready = run.ready_mean.astype(float)
    watch = QueueWatch(course, config, ready.shape[0])
    width_s = np.full((1, 1, 1), course.step_s)
    for t in range(course.n_steps):
        watch.step(t, width_s, ready[:, :, t, None])
    return watch.run()
