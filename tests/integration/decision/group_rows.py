"""What a group says of one more workload, stored as a fit stores it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from decider import GroupLaw
from services.decision.beliefs.groups import relative_draws, scope_of, summary_of_group
from services.decision.beliefs.miss_data import MISSES
from services.decision.rows.members import ShardMember
from services.decision.rows.translate import from_draws
from services.kernel.db import schema
from tests.integration.decision.stored_rows import ORIGIN


def add_group_law(engine: Engine, member: ShardMember, law: GroupLaw, **changed: Any) -> None:
    """A law of five workloads of the group of `member`; `changed`: columns of its row."""
    row = {
        "kind": MISSES,
        "scope": scope_of(member),
        "status": "promoted",
        "reason": "",
        "n_observations": 600,
        "summary": summary_of_group(member, law, 5),
        "diagnostics": {},
        "draws": from_draws(relative_draws(law)),
        "fitted_at": ORIGIN,
    }
    with engine.begin() as connection:
        connection.execute(schema.posteriors.insert().values(**(row | changed)))
