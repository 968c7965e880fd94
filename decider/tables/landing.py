"""When capacity lands: which share of each step a decision owns, and what is still on its way.

A decision made at boundary j *owns* the time `[j*step + L, (j+1)*step + L)`: starts made then land
in time for it, later ones do not. A *drop* at j acts at once and cannot be made good before
`j*step + L`. Both weights are exact overlaps of these intervals with the steps, averaged over the
draws of the lead time L, so a landing part-way through a step leaves the first part uncovered.

Shapes: W workloads, H horizon, P lead-time draws, G groups of starts on their way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.belief.lead_time import residual_draws
from decider.types import FloatArray, IntArray, ReplicaState, ShardRequest

MAX_GROUPS = 16
"""Groups that starts on their way are taken in; a group has landed when the last of it has."""
MAX_LEAD_DRAWS = 64
LATER = 1.25
"""A start is late for one that is new where its median is so many times as long."""


@dataclass(frozen=True, slots=True)
class LandingWeights:
    """Time weights, in steps.

    Attributes:
        landed: (W, G+1) starts on their way that have landed in state g.
        arrival: (W, H, G+1) share of step h spent in state g.
        own_first: (W, H, G+1) time of step h owned by the decision made now, in state g.
        drop_first: (W, H, G+1) time of step h before that, in state g.
        own_later: (W, H) time of the d-th step after a later decision that it owns.
        drop_later: (W, H) the same for the time before what it owns.
    """

    landed: IntArray
    arrival: FloatArray
    own_first: FloatArray
    drop_first: FloatArray
    own_later: FloatArray
    drop_later: FloatArray

    @property
    def owned_step(self) -> IntArray:
        """(W,) step that the decision made now mostly answers for."""
        return np.asarray(np.argmax(self.own_first.sum(axis=2), axis=1), dtype=np.int64)


def _ages(state: ReplicaState, gpus_per_replica: int) -> tuple[FloatArray, int]:
    """Ages of the starts that can land, and how many cannot (no GPU for them)."""
    n = state.on_the_way
    starting = sorted(state.starting_age_s, reverse=True)[:n]
    pending = sorted(state.pending_age_s, reverse=True)[: n - len(starting)]
    pending += [0.0] * (n - len(starting) - len(pending))
    free = state.schedulable_gpus
    lands = len(pending) if free is None else min(len(pending), free // gpus_per_replica)
    return np.array(starting + pending[:lands], dtype=float), len(pending) - lands


def stuck_starts(request: ShardRequest) -> IntArray:
    """(W,) starts on their way that new ones would be there before.

    No GPU is there for them, or they are so old that what is left of them takes longer than a start
    from the beginning.
    """
    found = np.zeros(len(request.workloads), dtype=np.int64)
    for row, w in enumerate(request.workloads):
        ages, n_without = _ages(w.replicas, w.hardware.gpus_per_replica)
        found[row] = n_without
        if ages.size:
            with_new = np.concatenate([[0.0], ages])
            left_s = np.median(residual_draws(request.lead_time_draws_s[row], with_new), axis=0)
            found[row] += int((left_s[1:] > LATER * left_s[0]).sum())
    return found


def _group_ends(age: FloatArray) -> IntArray:
    """(G,) number of starts up to the end of each group, the oldest first.

    Starts made together land at about the same time: where ages fall by more than a group's share
    of their range, a group ends, so that starts that land soon do not wait for those made later.
    The other ends are evenly spaced.
    """
    n = age.size
    if n <= MAX_GROUPS:
        return np.arange(1, n + 1)
    fall = -np.diff(np.sort(age)[::-1])
    between = np.flatnonzero(fall > np.ptp(age) / MAX_GROUPS) + 1
    n_even = MAX_GROUPS - between.size  # at least one, since the falls sum to the range
    return np.union1d(between, (n * np.arange(1, n_even + 1)) // n_even)


def _arrivals(request: ShardRequest, draws_s: FloatArray) -> tuple[IntArray, FloatArray]:
    """Landing states (W, G+1) and the times at which each begins, (W, G+2, P) in steps."""
    ages = [_ages(w.replicas, w.hardware.gpus_per_replica)[0] for w in request.workloads]
    width = max(min(len(a), MAX_GROUPS) for a in ages)
    n_draws = draws_s.shape[1]
    landed = np.zeros((len(ages), width + 1), dtype=np.int64)
    begins = np.full((len(ages), width + 2, n_draws), np.inf)
    begins[:, 0] = 0.0
    for row, age in enumerate(ages):
        if age.size == 0:
            continue
        times = np.sort(residual_draws(draws_s[row], age), axis=1) / request.step_s
        counts = _group_ends(age)
        groups = counts.size
        landed[row, 1 : groups + 1] = counts
        landed[row, groups + 1 :] = counts[-1]
        begins[row, 1 : groups + 1] = times[:, counts - 1].T
    return landed, begins


def _overlap(start: FloatArray, end: FloatArray, edges: FloatArray) -> FloatArray:
    """Mean over the last axis of the overlap of [start, end) with each [edges_h, edges_h+1).

    Args:
        start: (W, ..., P) in steps.
        end: (W, ..., P) in steps.
        edges: (W, H+1) step boundaries in steps from now.

    Returns:
        (W, H, ...).
    """
    shape = (edges.shape[0],) + (1,) * (start.ndim - 1)
    columns = []
    for h in range(edges.shape[1] - 1):
        low, high = edges[:, h].reshape(shape), edges[:, h + 1].reshape(shape)
        width = np.minimum(end, high) - np.maximum(start, low)
        columns.append(np.ascontiguousarray(np.maximum(width, 0.0)).mean(axis=-1))
    return np.stack(columns, axis=1)


def landing_weights(request: ShardRequest, elapsed_steps: FloatArray) -> LandingWeights:
    """Compute the weights of a shard.

    Args:
        request: The shard.
        elapsed_steps: (W,) share of the first step that has already passed, in [0, 1).
    """
    n, horizon = len(request.workloads), request.horizon
    stride = -(-request.lead_time_draws_s.shape[1] // MAX_LEAD_DRAWS)
    draws_s = np.ascontiguousarray(request.lead_time_draws_s[:, ::stride])
    lead = draws_s / request.step_s
    landed, begins = _arrivals(request, draws_s)
    inside = np.arange(horizon + 1)[None, :] - elapsed_steps[:, None]
    inside = np.maximum(inside, 0.0)
    # Beyond the horizon the last step's distribution stands in for what follows.
    open_ended = inside.copy()
    open_ended[:, -1] = np.inf
    whole = np.broadcast_to(np.arange(horizon + 1.0), (n, horizon + 1)).copy()
    whole[:, -1] = np.inf
    first, last = begins[:, :-1], begins[:, 1:]
    span = np.diff(inside, axis=1)[:, :, None]
    until = np.broadcast_to(inside[:, -1, None, None], first.shape)
    arrival = _overlap(first, np.minimum(last, until), inside) / np.maximum(span, 1e-12)
    lead_3d = lead[:, None, :]
    own = _overlap(np.maximum(first, lead_3d), np.minimum(last, lead_3d + 1.0), open_ended)
    drop = _overlap(first, np.minimum(last, lead_3d), open_ended)
    zero = np.zeros_like(lead)
    return LandingWeights(
        landed,
        arrival,
        own,
        drop,
        _overlap(lead, lead + 1.0, whole),
        _overlap(zero, lead, whole),
    )
