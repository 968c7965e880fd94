"""A variant whose nodes are gone: the other one serves, and it is tried for as long as need be."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from services.decision.decide.replay import replay
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import STEP, STEP_S
from tests.integration.decision.variant_rows import H100, L4, observe, seen, variants_of

pytestmark = pytest.mark.integration


def decided(fleet: Fleet, mix: int, h100: dict[str, Any], n_l4: int) -> Any:
    """The decision about what is seen at the next step."""
    fleet.origin += STEP
    fleet.clock.advance(STEP_S)
    fleet._forecast_all(fleet.levels)
    observe(fleet.engine, mix, fleet.clock.now(), h100=h100, l4=seen(n_l4))
    return fleet.decide(0)[mix]


def waiting(n: int, age_s: float, free: int | None) -> dict[str, Any]:
    ages = [age_s] * n
    return seen(n, 0) | {
        "pending": n, "starting": 0, "start_ages_s": ages, "schedulable_gpus": free,
    }  # fmt: skip


@pytest.mark.parametrize("free", [0, None])
def test_what_waits_for_a_gpu_in_vain_is_replaced_by_another_type(
    fleet: Fleet, free: int | None
) -> None:
    """Eight are needed in the mean. All H100 nodes are gone, L4 are free and dearer."""
    mix = fleet.add("mix", 0, 10, 80.0, variants=[H100, L4])
    with fleet.engine.begin() as connection:
        connection.execute(text("DELETE FROM replica_states"))
    h100, l4, age_s = 10, 0, 330.0
    for _ in range(6):
        row = decided(fleet, mix, waiting(h100, age_s, free), l4)
        found = variants_of(row)
        h100, l4, age_s = found["h100"], found["l4"], age_s + STEP_S
        assert h100 == (0 if free == 0 else 1), "one goes on waiting where nothing else tells"
        assert l4 >= 17
        assert replay(fleet.deps, row["id"]).is_identical
    assert row["desired_replicas"] == l4 // 2


def test_a_type_that_is_there_again_is_taken_again(fleet: Fleet) -> None:
    mix = fleet.add("mix", 0, 10, 80.0, variants=[H100, L4])
    with fleet.engine.begin() as connection:
        connection.execute(text("DELETE FROM replica_states"))
    gone = variants_of(decided(fleet, mix, waiting(10, 330.0, 0), 0))
    back = variants_of(decided(fleet, mix, seen(gone["h100"]), gone["l4"]))
    assert back["h100"] >= 8
    assert back["l4"] <= 2
