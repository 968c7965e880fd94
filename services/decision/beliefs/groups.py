"""What the measured workloads of a group say of one more: stored by a fit, taken at a decision.

A new workload, or one that no request has loaded yet, has nothing of its own to learn from. Those
that serve the same demand on the same GPUs under the same goals were often measured long before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from scipy.special import ndtri
from sqlalchemy import Connection, RowMapping

from decider import FloatArray, GroupLaw
from services.decision.beliefs import repository
from services.decision.beliefs.miss_data import MISSES, group_of
from services.decision.rows.members import ShardMember
from services.kernel.telemetry import get_logger

BY_GROUP = "group"
"""How a law was learned: its `method` in a row of `posteriors`."""
MIN_GROUP = 2
"""Measured workloads from which a group says something of one more."""
N_RELATIVE = 256
_LEVELS = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


@dataclass(frozen=True, slots=True)
class MeasuredGroup:
    """A workload's group, of which something is known.

    Attributes:
        law: What it says of one more workload.
        n_workloads: How many were measured.
        levels: Quantiles 0.1, 0.5 and 0.9 of what one more carries within its goals over what is
            stated of it, as `p10`, `p50` and `p90`.
    """

    law: GroupLaw
    n_workloads: int
    levels: Mapping[str, float]


def group_key(member: ShardMember) -> str:
    """What workloads of a group have in common, as text."""
    return json.dumps(group_of(member), sort_keys=True)


def scope_of(member: ShardMember) -> str:
    """Scope of the posterior of a workload's group."""
    return f"group:{hashlib.sha256(group_key(member).encode()).hexdigest()[:16]}"


def summary_of_group(member: ShardMember, law: GroupLaw, n_workloads: int) -> dict[str, Any]:
    """What a posterior's row says of a group.

    Args:
        member: One of its workloads.
        law: What they say of one more.
        n_workloads: How many were measured.
    """
    relative = relative_draws(law)
    return {
        "method": BY_GROUP,
        "group": group_of(member),
        "n_workloads": n_workloads,
        **{name: float(f"{np.quantile(relative, q):.4g}") for name, q in _LEVELS.items()},
        "mean": law.mean.tolist(),
        "covariance": law.covariance.tolist(),
    }


def relative_draws(law: GroupLaw) -> FloatArray:
    """(N_RELATIVE,) what one more carries within its goals over what is stated of it, ascending."""
    z = ndtri((np.arange(N_RELATIVE) + 0.5) / N_RELATIVE)
    return np.asarray(np.exp(law.mean[0] + np.sqrt(law.covariance[0, 0]) * z))


def load_groups(connection: Connection, members: Sequence[ShardMember]) -> dict[int, MeasuredGroup]:
    """By workload its group, where something is known of it."""
    scopes = sorted({scope_of(member) for member in members})
    rows = {row["scope"]: row for row in repository.load_posteriors(connection, MISSES, scopes)}
    return known_groups(members, rows)


def known_groups(
    members: Iterable[ShardMember], rows: Mapping[str, RowMapping]
) -> dict[int, MeasuredGroup]:
    """By workload its group, where something is known of it.

    Args:
        members: The workloads.
        rows: Newest promoted posteriors by scope.
    """
    found = {}
    for member in members:
        row = rows.get(scope_of(member))
        if row is None or row["summary"].get("group") != json.loads(group_key(member)):
            continue
        try:
            found[member.id] = _to_group(row["summary"])
        except (KeyError, TypeError, ValueError) as error:
            get_logger(__name__).warning("group_refused", workload=member.key, error=str(error))
    return found


def _to_group(summary: Mapping[str, Any]) -> MeasuredGroup:
    law = GroupLaw(
        np.array(summary["mean"], dtype=np.float64),
        np.array(summary["covariance"], dtype=np.float64),
    )
    levels = {name: float(summary[name]) for name in _LEVELS}
    return MeasuredGroup(law, int(summary["n_workloads"]), levels)


def store_laws(connection: Connection, rows: Sequence[Mapping[str, Any]], after: datetime) -> None:
    """Store what a batch of a fit says of groups.

    A group may be fitted in two batches: the law of the one with more of its workloads stays.

    Args:
        connection: An open transaction.
        rows: Rows of `posteriors`.
        after: Laws that were fitted after it are of the same fit.
    """
    stored = repository.load_posteriors(connection, MISSES, [row["scope"] for row in rows])
    known = {
        row["scope"]: int(row["summary"].get("n_workloads", 0))
        for row in stored
        if row["fitted_at"] > after
    }
    for row in rows:
        if row["summary"]["n_workloads"] >= known.get(row["scope"], 0):
            repository.store_posterior(connection, dict(row))
