"""Loads of workloads as they were observed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from services.decision.rows.loads import Sampled
from services.decision.rows.members import ShardMember
from services.decision.rows.repository import load_series
from services.kernel.db.steps.blocks import SECOND_US, to_us
from services.kernel.db.steps.grid import NamedWorkload, WantedSteps
from services.kernel.db.steps.kept import KeptSteps


def load_observed(
    connection: Connection,
    members: Mapping[int, ShardMember],
    first: datetime,
    last: datetime,
    kept: KeptSteps,
) -> dict[int, dict[str, Sampled]]:
    """Series of the demand and of further loads by workload and name; those that have any.

    Args:
        connection: An open transaction.
        members: The workloads.
        first: First step start, inclusive.
        last: Last step start, inclusive.
        kept: What was read before.
    """
    by_step: dict[int, list[ShardMember]] = defaultdict(list)
    for key in sorted(members):
        by_step[members[key].step_s].append(members[key])
    found: dict[int, dict[str, Sampled]] = {}
    for step_s, group in by_step.items():
        step_us = step_s * SECOND_US
        steps = np.arange(-(-to_us(first) // step_us), to_us(last) // step_us + 1, dtype=np.int64)
        names = [(one.spec.demand, *one.spec.further_loads) for one in group]
        workloads = [NamedWorkload(one.id, name) for one, name in zip(group, names, strict=True)]
        wanted = WantedSteps(tuple(workloads), steps * step_us, step_us)
        grid = kept.load(connection, wanted)
        steps_s = wanted.steps_us / SECOND_US
        for one, values in zip(wanted.workloads, grid, strict=True):
            for column, name in enumerate(one.names):
                is_seen = ~np.isnan(values[:, column])
                if is_seen.any():
                    sampled = (steps_s[is_seen], values[is_seen, column].astype(float))
                    found.setdefault(one.id, {})[name] = sampled
    return found


def load_further(
    connection: Connection, members: Mapping[int, ShardMember], first: datetime, last: datetime
) -> dict[int, dict[str, Sampled]]:
    """Series of the further loads by workload and name; one query, none where there are none.

    Args:
        connection: An open transaction.
        members: The workloads.
        first: First step start, inclusive.
        last: Last step start, inclusive.
    """
    names = {key: m.spec.further_loads for key, m in members.items() if m.spec.further_loads}
    return load_series(connection, names, first, last)
