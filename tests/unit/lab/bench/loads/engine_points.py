"""A table of an engine made by hand, of a response whose form is known."""

from __future__ import annotations

import numpy as np

from services.lab.arena.table import ResponseTable
from services.lab.bench.loads.response import SharedUse

INPUTS, OUTPUTS = np.geomspace(200, 1200, 6), np.geomspace(20, 250, 6)
KNOWN = SharedUse(
    np.array([[9.0, 4000.0, 250.0]]), np.array([2.0]), np.array([10.0]), np.array([0.004])
)


def points(n_rates: int = 10) -> ResponseTable:
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
    unused = np.zeros((factor.size + 1, 15), dtype=np.int64)
    return ResponseTable(
        replicas=np.append(np.ones(factor.size, dtype=np.int64), 4),
        rate=ends[0],
        mean_input=ends[1],
        mean_output=ends[2],
        floor=np.full(factor.size + 1, 0.004),
        requests=np.vstack([requests, requests[:1]]),
        input_tokens=unused,
        output_tokens=unused,
        kv_token_s=unused.astype(float),
        missed=np.vstack([missed, 0 * missed[:1]]),
        missed_ttft=unused,
        missed_tpot=unused,
        about={},
    )
