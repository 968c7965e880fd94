"""How full the replicas of pools were in measured steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from decider import FloatArray
from services.decision.beliefs import repository
from services.decision.rows.loads import Sampled, values_at
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.pools import occupancy_indicators


def load_occupancies(
    connection: Connection,
    members: Sequence[ShardMember],
    first: Mapping[int, datetime],
    last: datetime,
) -> dict[int, dict[str, Sampled]]:
    """Occupancies by workload and indicator; one query, none where no pool names an indicator.

    Args:
        connection: An open transaction.
        members: The workloads.
        first: Start of each one's first step, exclusive.
        last: Last step start, exclusive.
    """
    names = {m.id: occupancy_indicators(m.spec.pools) for m in members}
    found: dict[int, dict[str, Sampled]] = {}
    for row in repository.load_gauges(connection, names, first, last):
        series = (np.array(row["steps_s"]), np.array(row["values"], dtype=float))
        found.setdefault(int(row["workload_id"]), {})[row["indicator"]] = series
    return found


def occupancies_at(
    found: Mapping[str, Sampled], spec: WorkloadSpec, steps_s: FloatArray
) -> FloatArray:
    """(N, Q) occupancies of the pools that name an indicator; NaN: not known."""
    columns = [values_at(found.get(name), steps_s) for name in occupancy_indicators(spec.pools)]
    return np.stack(columns, axis=1) if columns else np.zeros((steps_s.size, 0))
