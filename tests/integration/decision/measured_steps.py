"""Final measured steps of workloads with a known response, as decisions store them."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Engine

from decider import FloatArray
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from tests.integration.decision.measured_loop import STEP, truth
from tests.integration.decision.stored_rows import ORIGIN, TOKENS, add_demand

READY = 4.0


def add_measured_steps(
    engine: Engine,
    workload: int,
    knee: float,
    load: FloatArray,
    last: datetime = ORIGIN - timedelta(minutes=1),
    tokens: FloatArray | None = None,
) -> None:
    """Steps of a minute up to `last`, the newest first; 5 % miss at the load `knee` per replica.

    With tokens per ready replica, a replica carries 10 times as many of them as of requests, and
    the tighter of the two binds.
    """
    rng = np.random.default_rng(workload)
    use = load
    if tokens is not None:
        use = np.maximum(load, 0.1 * tokens)
        values = (READY * tokens)[::-1].tolist()
        add_demand(engine, workload, values, last=last, indicator=TOKENS, step=STEP)
    share = truth(knee).miss(use)[0]
    total = np.round(READY * load * 60.0)
    missed = rng.binomial(total.astype(int), rng.beta(200.0 * share, 200.0 * (1.0 - share)))
    at = [last - back * STEP for back in range(load.size)]
    rows = [
        (workload, t, READY * z, READY, n, m / n, m / n, 0.0, True, t)
        for t, z, n, m in zip(at, load, total, missed, strict=True)
    ]
    columns = (
        "workload_id", "step_at", "demand", "ready_mean", "sli_requests", "sli_miss_low",
        "sli_miss_high", "measured_violation_ratio", "is_final", "computed_at",
    )  # fmt: skip
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.outcomes, columns, "error"), rows)
