"""Use case: move indicators that were written before a row held a whole step."""

from __future__ import annotations

from services.ingest.deps import IngestDeps
from services.kernel.db.session import unit_of_work
from services.kernel.db.steps.moving import move_some

BATCHES = 20
"""Of one run, each of a workload's week in a transaction of its own; the next sweep goes on."""


def move_indicators(deps: IngestDeps) -> int:
    """Move some more, newest first; returns how many steps. It may be cut off at any moment."""
    n_steps = 0
    for _ in range(BATCHES):
        with unit_of_work(deps.engine) as work:
            moved = move_some(work.connection, 1)
        n_steps += moved.n_steps
        if moved.is_done:
            break
    return n_steps
