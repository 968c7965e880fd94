"""A table of an engine made by hand, of a response whose form is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.lab.bench.loads.response import SharedUse
from services.simulator.fleet.arrays import FloatArray, IntArray

INPUTS, OUTPUTS = np.geomspace(200, 1200, 6), np.geomspace(20, 250, 6)
KNOWN = SharedUse(
    np.array([[9.0, 4000.0, 250.0]]), np.array([2.0]), np.array([10.0]), np.array([0.004])
)


@dataclass(frozen=True)
class Points:
    """See `MeasuredPoints`."""

    replicas: IntArray
    rate: FloatArray
    mean_input: FloatArray
    mean_output: FloatArray
    floor: FloatArray
    requests: IntArray
    missed: IntArray


def points(n_rates: int = 10) -> Points:
    """Six by six compositions at some rates of one replica, and a point of four."""
    mean_input, mean_output, factor = (
        grid.ravel()
        for grid in np.meshgrid(INPUTS, OUTPUTS, np.geomspace(0.3, 2.0, n_rates), indexing="ij")
    )
    one = np.stack([np.ones(factor.size), mean_input, mean_output], axis=1)
    who = np.zeros(factor.size, dtype=np.int64)
    rate = factor / KNOWN.use(one, who)
    miss = KNOWN.mean(one * rate[:, None], who)
    requests = np.full((factor.size, 15), 100_000)
    missed = np.round(miss[:, None] * requests).astype(np.int64)
    ends = [np.append(v, v[0]) for v in (rate, mean_input, mean_output)]
    return Points(
        np.append(np.ones(factor.size, dtype=np.int64), 4),
        *ends,
        np.full(factor.size + 1, 0.004),
        np.vstack([requests, requests[:1]]),
        np.vstack([missed, 0 * missed[:1]]),
    )
