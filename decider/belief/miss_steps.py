"""Steps that responses are learned from: counts made whole, queues left out, loads chosen across.

A request is counted in the step that it ends in. Once requests have piled up, those that end next
have waited: they miss whatever arrives meanwhile, also where replicas have been added and the load
of each is low again. Such steps say how long the queue was, and nothing of what a load does to its
requests. Taken for that, one bad minute makes a response so flat that no number of replicas seems
to help (docs/decisions/0092). While a queue grows the load is what makes it: those steps stay.
"""

from __future__ import annotations

import numpy as np

from decider.errors import require
from decider.miss_draws import NO_MIX
from decider.types import BoolArray, FloatArray, IntArray

N_BINS, MAX_STEPS = 20, 200
QUEUED_SHARE = 0.25
"""More requests than this share of those that end in a step make a queue."""
QUEUE_ENDS_S = 60.0
"""Requests that waited in a queue have ended so long after it."""


def whole_counts(
    load: FloatArray, missed: FloatArray, total: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Whole requests missed and whole requests in all, at least as many; (N,) each.

    Raises:
        InvalidRequest: Shapes differ, or a value is unknown or impossible.
    """
    shapes = f"load {load.shape}, missed {missed.shape}, total {total.shape}"
    is_one = missed.ndim == 1 and load.shape[:1] == missed.shape == total.shape
    require(is_one and load.ndim <= 2, f"{shapes}: all must be (N,), loads may be (N, 1+F)")
    if load.ndim == 1:
        require_all(load > 0, load, "load must be finite and > 0: leave out what is unknown")
    else:
        require_all(load >= 0, load, "load must be finite and >= 0: leave out what is unknown")
        require_all(load.max(axis=1) > 0, load.max(axis=1), "one of a step's loads must be > 0")
    for name, counts in (("missed", missed), ("total", total)):
        require_all(counts >= 0, counts, f"{name} must be finite and >= 0: leave out the unknown")
    whole = np.round(missed)
    return whole, np.maximum(np.round(total), whole)


def mixes_of(mix: FloatArray, load: FloatArray) -> FloatArray:
    """(N, V) mixes of the steps of `load`; of `NO_MIX` (N, 0).

    Raises:
        InvalidRequest: There are not as many, or a share is none.
    """
    if mix.shape == NO_MIX.shape:
        return np.zeros((load.shape[0], 0))
    is_one = mix.ndim == 2 and mix.shape[0] == load.shape[0]
    require(is_one, f"mix {mix.shape} must be (N, V), of the steps of load {load.shape}")
    require_all((mix >= 0) & (mix <= 1), mix, "mix must be shares in [0, 1]")
    return mix


def steps_across_loads(load: FloatArray, mix: FloatArray = NO_MIX) -> IntArray:
    """Which steps to learn from: the newest of each bin of equal width in load, in time order.

    Bins give one step each in turn until `MAX_STEPS` are chosen, so the few steps near the knee are
    kept. That biases nothing: the response is about misses given load. Of several loads each has
    its own bins, and so has their sum in units of their means: the steps that stand out in any load
    are kept, and those in which all are high. So has the share of each variant, where there are
    several: the steps in which the mix was another are kept.

    Args:
        load: (N,) load per ready replica, or (N, 1+F) several, in time order.
        mix: (N, V) share of the stated capacity ready that was each further variant's.

    Returns:
        Indices, ascending.
    """
    if load.shape[0] <= MAX_STEPS:
        return np.arange(load.shape[0])
    if load.ndim == 1:
        columns = [load]
    else:
        total = (load / np.maximum(load.mean(axis=0), 1e-300)).sum(axis=1)
        columns = [*load.T, total]
    turn = np.min([_turns(one) for one in (*columns, *mix.T)], axis=0)
    return np.sort(np.argsort(turn, kind="stable")[:MAX_STEPS])


def queue_steps(step_s: float) -> int:
    """How many steps before a step are looked at for a queue: the last one, and a minute before."""
    require(0 < step_s < np.inf, f"step_s={step_s} must be finite and > 0")
    return 1 + int(QUEUE_ENDS_S // step_s)


def behind_a_queue(total: FloatArray, waiting: FloatArray) -> BoolArray:
    """Which steps say more of requests that had piled up before them than of their load.

    Those before which a queue was, less than a minute ago, while what waits does not grow. What is
    not known is no queue, and does not grow.

    Args:
        total: (N,) requests that ended in each step.
        waiting: (N, 1+K) requests that waited, on the mean, in the step itself and in each of the
            K before it, the newest first; NaN: not known.
    """
    is_one = waiting.ndim == 2 and waiting.shape[0] == total.size and waiting.shape[1] > 1
    require(is_one, f"waiting {waiting.shape} must be (N, 1+K) of the {total.size} steps of total")
    was_queued = (waiting[:, 1:] > QUEUED_SHARE * total[:, None]).any(axis=1)
    grows = waiting[:, 0] > waiting[:, 1]
    return np.asarray(was_queued & ~grows)


def _turns(load: FloatArray) -> IntArray:
    """(N,) how many steps of the same bin are newer."""
    low, high = float(load.min()), float(load.max())
    width = max(high - low, 1e-12)
    bins = np.minimum((N_BINS * (load - low) / width).astype(np.int64), N_BINS - 1)
    turn = np.empty(load.size, dtype=np.int64)
    for at in (np.flatnonzero(bins == b)[::-1] for b in range(N_BINS)):
        turn[at] = np.arange(at.size)
    return turn


def require_all(holds: BoolArray, values: FloatArray, message: str) -> None:
    """Refuse the first value that is not finite or for which something does not hold."""
    wrong = np.flatnonzero(~(np.isfinite(values) & holds))
    if wrong.size:
        at = int(wrong[0])
        require(False, f"{message}; it is {values.flat[at]:g} at {at}")
