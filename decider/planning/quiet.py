"""What would be planned if nothing waited: what a queue costs, and that it never lowers a count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from decider.config import DecideConfig
from decider.planning.fallback import Standing
from decider.planning.outlook import look_ahead
from decider.tables.soft_response import Soft
from decider.types import ShardRequest


def quiet_counts(
    request: ShardRequest,
    standings: Sequence[Standing],
    config: DecideConfig,
    known: Mapping[int, Soft] | None = None,
) -> dict[int, int]:
    """By row, planned first counts of the workloads of which something waits, were it nothing.

    No count depends on a workload's company but a pool's, so these few are planned among
    themselves, pools with all of their service.

    Args:
        request: The shard.
        standings: Where each workload stands on the fallback ladder.
        config: Settings.
        known: By row, responses under their promise, which do not ask what waits; None: they are
            made of the request.
    """
    waiting = {
        row
        for row, w in enumerate(request.workloads)
        if (w.waiting_load or 0.0) > 0 and request.response(row) is not None
    }
    if not waiting or config.max_backlog_steps <= 0:
        return {}
    together = [pools for pools in request.services().values() if waiting & set(pools)]
    rows = sorted(waiting.union(*together))
    part = request.part(rows)
    unqueued = [replace(w, waiting_load=0.0, waiting_requests=0.0) for w in part.workloads]
    part = replace(part, workloads=tuple(unqueued))
    soft = None if known is None else {i: known[row] for i, row in enumerate(rows) if row in known}
    first = look_ahead(part, [standings[row] for row in rows], config, soft).first()
    return {row: int(n) for row, n in zip(rows, first, strict=True) if row in waiting}
