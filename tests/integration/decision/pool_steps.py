"""Measured steps of a service with pools that misses tell nothing of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sqlalchemy import Engine, text

from decider.belief.occupancy import ROOM as BY_ROOM, OccupancyLaw
from tests.integration.decision.measured_loop import OBJECTIVE, STEP
from tests.integration.decision.measured_steps import READY, add_measured_steps
from tests.integration.decision.pool_rows import ROOM
from tests.integration.decision.stored_rows import TOKENS, add_demand

SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}


def add_quiet_pools(engine: Engine, add: Callable[..., int], by: OccupancyLaw = BY_ROOM) -> int:
    """Sixty minutes without a miss by load; decode carries 80 of 800 tokens, 200 are stated."""
    workload = add(engine, sla=SLA)
    tokens = np.linspace(60.0, 80.0, 60)
    add_measured_steps(engine, workload, 1000.0, np.linspace(5.0, 6.0, 60))
    add_demand(engine, workload, (READY * tokens).tolist(), indicator=TOKENS, step=STEP)
    taken = by.full * (tokens / 800.0) ** by.power
    add_demand(engine, workload, taken.tolist(), indicator=ROOM, step=STEP)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE outcomes SET ready_by_pool = CAST(:ready AS jsonb)"),
            {"ready": f'{{"prefill": {READY}, "decode": {READY}}}'},
        )
    return workload
