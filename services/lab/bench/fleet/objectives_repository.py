"""Objectives of a part of the fleet, and what was learned of its requests before the fleet starts.

Such a workload is decided by sample paths and by its response, which are stored with each decision.
Its requests are counted by two counters that are pushed beside its indicators.
"""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from services.decision.beliefs.miss_data import MISSES, MissSteps, summary_of
from services.decision.beliefs.miss_view import SAMPLED
from services.decision.beliefs.misses import learned_alone
from services.decision.beliefs.repository import store_posterior
from services.decision.rows.members import to_member
from services.decision.rows.translate import from_draws
from services.kernel.clock import make_rng
from services.kernel.domain.objective import (
    GoalSpec,
    ObjectiveSpec,
    SliSeriesSpec,
    good_name,
    total_name,
)

OBJECTIVE = ObjectiveSpec(
    goals=(GoalSpec(metric="ttft", threshold_s=1.0),),
    series=(SliSeriesSpec(name=total_name("ttft")), SliSeriesSpec(name=good_name("ttft"))),
)
_SPREAD = 37
"""Without a common divisor with 100: those with an objective are of all classes and shards."""
_LEARNED_STEPS = 1440


def add_objectives(connection: Connection, share: float, at: datetime, seed: int) -> None:
    """Give a share of the workloads an objective and a response, as a day of steps teaches it.

    Args:
        connection: An open transaction.
        share: In [0, 1], to a hundredth.
        at: Until when they were learned from.
        seed: Base seed.
    """
    rows = connection.execute(
        text(
            "UPDATE workloads SET spec = jsonb_set(spec, '{sla,objective}', "
            "CAST(:objective AS jsonb)) WHERE id * :spread % 100 < round(100 * :share) "
            "RETURNING id, namespace, name, step_s, spec::text AS spec"
        ),
        {
            "objective": json.dumps(OBJECTIVE.model_dump(mode="json")),
            "spread": _SPREAD,
            "share": share,
        },
    ).mappings()
    members = [to_member(row) for row in rows]
    if not members:
        return
    steps = _steps_of_a_day(members[0].spec.capacity.per_replica, at, seed)
    learned = learned_alone(members[0], steps)
    for member in members:
        store_posterior(
            connection,
            {
                "kind": MISSES,
                "scope": f"workload:{member.id}",
                "status": "promoted",
                "n_observations": steps.size,
                "summary": summary_of(learned.draws, member, steps) | {"method": SAMPLED},
                "diagnostics": {},
                "draws": from_draws(learned.draws.to_array().ravel()),
                "fitted_at": at,
            },
        )


def _steps_of_a_day(per_replica: float, at: datetime, seed: int) -> MissSteps:
    """Steps at loads from half of a replica's capacity to a tenth more, with what they missed."""
    rng = make_rng(seed, "bench", "fleet", "objectives")
    load: npt.NDArray[np.float64] = per_replica * rng.uniform(0.5, 1.1, _LEARNED_STEPS)
    total = np.full(_LEARNED_STEPS, 600.0)
    missed = rng.binomial(600, 1.0 / (1.0 + (1.2 * per_replica / load) ** 14)).astype(float)
    ages = 60.0 * np.arange(-_LEARNED_STEPS, 0)
    seconds = np.array([at.timestamp() + age for age in ages], dtype=np.float64)
    return MissSteps(seconds, load, missed, total)
