"""Workloads with an objective and what was observed of them, for the tests beside it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from decider import FloatArray
from services.decision.rows.members import ShardMember
from services.decision.rows.sli_series import SliGrid
from services.kernel.domain import WorkloadSpec

STEP_S = 300
ORIGIN_S = 1767700800.0
GRID = SliGrid(ORIGIN_S, STEP_S, 12)
TTFT = {"metric": "ttft", "threshold_s": 0.5}
QUERIED = ("sli_ttft_total", "sli_ttft_good", "sli_waiting", "sli_lost")


def measured_member(
    *goals: dict[str, Any],
    series: tuple[str, ...] = QUERIED,
    kind: str = "TimeFraction",
    edges_s: Mapping[str, float | None] = MappingProxyType({}),
    **changes: Any,
) -> ShardMember:
    """A workload whose `series` have queries; without goals, one with a time to first token.

    `edges_s` are bucket edges by series.
    """
    objective = {
        "goals": list(goals or (TTFT,)),
        "series": [
            {"name": name, "query": f"rate({name}[$step])", "edge_s": edges_s.get(name)}
            for name in series
        ],
    }
    return member(sla={"kind": kind, "epsilon": 0.05, "objective": objective}, **changes)


def member(**changes: Any) -> ShardMember:
    spec = {
        "target": "Deployment/w",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
    }
    return ShardMember(1, "demo", "w", STEP_S, WorkloadSpec.model_validate(spec | changes))


def sampled(**counts: Any) -> dict[str, tuple[FloatArray, FloatArray]]:
    """What was observed of the last steps, by the series' name without `sli_`, as counts."""
    found = {}
    for name, values in counts.items():
        per_step = np.asarray(values, dtype=float)
        at_s = GRID.starts_s[-per_step.size :]
        seen = np.isfinite(per_step)
        scale = 1.0 if name == "waiting" else STEP_S
        found[f"sli_{name}"] = (at_s[seen], per_step[seen] / scale)
    return found
