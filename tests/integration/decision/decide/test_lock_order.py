"""A transaction locks all GPU budgets that it will need at once, in one order over all shards."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.decide.granting import DraftedGroup, GrantedPart, grant_part
from services.decision.decide.shard_run import ShardRun
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import STEP

pytestmark = pytest.mark.integration
HELD = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
    "AND objsubid = 2 AND classid::bigint = hashtext('harmony_gpu_budget')::bigint & 4294967295"
)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Budgets that a run has locked, after each of its parts."""
    found: list[int] = []

    def granted(run: ShardRun, groups: Sequence[DraftedGroup]) -> GrantedPart:
        part = grant_part(run, groups)
        found.append(int(run.connection.execute(HELD).scalar_one()))
        return part

    monkeypatch.setattr(service, "grant_part", granted)
    return found


def of_two_types(fleet: Fleet) -> tuple[int, int]:
    """A workload of each of two budgeted types, in one shard."""
    found = []
    for gpu_type in ("H100", "A100"):
        fleet.budget(40, gpu_type)
        target = f"Deployment/{gpu_type.lower()}"
        found.append(fleet.add(gpu_type.lower(), 0, 3, 20.0, gpu_type=gpu_type, target=target))
    return found[0], found[1]


def test_a_workload_that_is_set_apart_needs_no_lock_of_its_own(
    fleet: Fleet, held: list[int]
) -> None:
    well, failing = of_two_types(fleet)
    with fleet.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workload_errors (workload_id, stage, message, since, last_at) "
                "VALUES (:id, 'decide', 'it failed alone', now(), now())"
            ),
            {"id": failing},
        )
    assert set(fleet.decide(0)) == {well, failing}
    assert held == [2, 2]


def test_workloads_of_several_origins_need_no_locks_of_their_own(
    fleet: Fleet, held: list[int]
) -> None:
    early, late = of_two_types(fleet)
    with fleet.engine.begin() as connection:
        connection.execute(text("DELETE FROM forecasts WHERE workload_id = :id"), {"id": late})
    fleet.origin += STEP
    fleet.clock.advance(STEP.total_seconds())
    fleet.forecast(late)
    service.decide_shard(fleet.deps, 0, fleet.origin, is_rest=True)
    assert set(fleet.decisions()) == {early, late}
    assert held == [2, 2]


def test_a_spec_that_nobody_can_read_keeps_nobody_from_a_decision(
    fleet: Fleet, held: list[int]
) -> None:
    first, second = of_two_types(fleet)
    spoilt = "[" * 5000 + "]" * 5000
    with fleet.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = CAST(:spec AS jsonb) WHERE id = :id"),
            {"spec": spoilt, "id": second},
        )
    assert set(fleet.decide(0)) == {first}
    assert held == [1]
