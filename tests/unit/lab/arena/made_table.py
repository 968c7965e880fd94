"""A response table whose misses follow a known law."""

from __future__ import annotations

import numpy as np

from services.lab.arena.table import ResponseTable
from services.lab.arena.use_fit import UseResponse

TRUE = UseResponse(np.array([1200.0, 300.0]), 1.0, 8.0, 0.002, 500.0)
"""Of input and output tokens a second."""
MINUTES = 10


def made_table(n: int = 160, n_pooled: int = 12) -> ResponseTable:
    """`n` points of one replica, then some of four that miss by the same law."""
    rng = np.random.default_rng(11)
    size = n + n_pooled
    replicas = np.where(np.arange(size) < n, 1, 4)
    mean_input, mean_output = rng.uniform(10, 100, size), rng.uniform(2, 20, size)
    rate = rng.uniform(0.4, 1.3, size) / (mean_input / 1200.0 + mean_output / 300.0)
    requests = np.maximum(rng.poisson((60.0 * rate * replicas)[:, None], (size, MINUTES)), 1)
    inputs = np.rint(requests * mean_input[:, None]).astype(np.int64)
    outputs = np.rint(requests * mean_output[:, None]).astype(np.int64)
    seconds = 60.0 * MINUTES * replicas
    share = TRUE.miss(np.stack([inputs.sum(1), outputs.sum(1)], axis=1) / seconds[:, None])
    missed = rng.binomial(requests, share[:, None])
    return ResponseTable(
        replicas=replicas,
        rate=rate,
        mean_input=mean_input,
        mean_output=mean_output,
        floor=np.zeros(size),
        requests=requests,
        input_tokens=inputs,
        output_tokens=outputs,
        kv_token_s=outputs * 100.0,
        missed=missed,
        missed_ttft=missed,
        missed_tpot=np.zeros_like(missed),
        about={"command": "made up"},
    )
