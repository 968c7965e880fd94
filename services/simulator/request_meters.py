"""Counts of the requests of a served fleet: cumulative counters, and a gauge of the queue.

They count what requests felt, step by step, in the names of an objective's series.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from services.kernel.domain.objective import (
    LOST,
    READY,
    WAITING,
    GoalMetric,
    good_name,
    total_name,
)
from services.simulator.fleet.arrays import FloatArray
from services.simulator.served_fleet import ServedFleet

GOAL: GoalMetric = "ttft"
THRESHOLD_S = 0.5


def past_requests(served: ServedFleet, ready_mean: FloatArray) -> Mapping[str, FloatArray]:
    """What a source of metrics kept of a history: (W, T) by the names of an objective's series.

    Args:
        served: How the history was served.
        ready_mean: (V, T) time-mean ready replicas of the targets. They are told of services with
            one target; NaN of the others.
    """
    course = served.course(ready_mean)
    W, total = served.n_services, served.requests
    missed = np.stack([step.missed for step in course], axis=1)
    waiting = np.stack([step.waiting for step in course], axis=1)
    is_one = np.bincount(served.owner, minlength=W) == 1
    per_s = 1.0 / served.step_s
    return {
        total_name(GOAL): total * per_s,
        good_name(GOAL): (total - missed) * per_s,
        LOST: np.zeros_like(total),
        WAITING: _waiting(served, waiting, missed),
        READY: np.where(is_one[:, None], ready_mean[:W], np.nan),
    }


def _waiting(served: ServedFleet, lasting: FloatArray, missed: FloatArray) -> FloatArray:
    """Requests that wait, on the mean: in lasting queues, or for the threshold at least.

    Beside the lasting queues it is by Little's law: who misses waits for the threshold at least.
    """
    return np.maximum(lasting, missed / served.step_s * THRESHOLD_S)


class RequestMeters:
    """Counts the requests of one step after the other.

    Args:
        served: How they are served.
    """

    def __init__(self, served: ServedFleet) -> None:
        self._served = served
        W = served.n_services
        self._queue = served.no_queue()
        self._total, self._missed, self._waiting = np.zeros(W), np.zeros(W), np.zeros(W)

    def count(self, step: int, ready_mean: FloatArray) -> None:
        """Count a step; to be called once for each, in order.

        Args:
            step: Step counted from the start of the replay.
            ready_mean: (V,) time-mean ready replicas of the targets.
        """
        served = self._served.serve(step, ready_mean, self._queue)
        self._queue = served.queue
        self._total = self._total + self._served.requests[:, step]
        self._missed = self._missed + served.missed
        self._waiting = _waiting(self._served, served.waiting, served.missed)

    def counters(self) -> Mapping[str, FloatArray]:
        """(W,) readings at the end of the steps counted so far; nothing is ever lost."""
        return {
            total_name(GOAL): self._total,
            good_name(GOAL): self._total - self._missed,
            LOST: np.zeros_like(self._total),
        }

    def gauges(self) -> Mapping[str, FloatArray]:
        """(W,) means of the step that was counted last."""
        return {WAITING: self._waiting}
