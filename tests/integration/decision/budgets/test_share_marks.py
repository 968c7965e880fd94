"""Marks of changed shards stay few, whoever of the shards has a budgeted type."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.decision.budget_fleet import Fleet

pytestmark = [pytest.mark.slow, pytest.mark.integration]
TYPES = ("H100", "A100")
N_STEPS = 22


@pytest.mark.parametrize("moved", ["a0", "a%"])
def test_marks_stay_few_after_a_type_went_out_of_use(fleet: Fleet, moved: str) -> None:
    """Services of one shard or of both move to another type; the budget of theirs stays."""
    for shard in (0, 1):
        for gpu_type in TYPES:
            name = f"{gpu_type[0].lower()}{shard}"
            target = f"Deployment/{name}"
            fleet.budget(400, gpu_type)
            fleet.add(name, shard, 3, 20.0, gpu_type=gpu_type, target=target)
    counts: list[int] = []
    for step in range(N_STEPS):
        for gpu_type in TYPES:
            fleet.budget(400, gpu_type)  # the operator confirms both
        fleet.decide(0, 1)
        fleet.step()
        with fleet.engine.begin() as connection:
            if step == 3:
                connection.execute(
                    text(
                        'UPDATE workloads SET spec = spec || \'{"gpu_type": "H100"}\' '
                        "WHERE name LIKE :moved"
                    ),
                    {"moved": moved},
                )
            found = connection.execute(text("SELECT count(*) FROM gpu_share_marks")).scalar_one()
            counts.append(int(found))
    assert max(counts[-6:]) <= max(counts[:4]), counts
