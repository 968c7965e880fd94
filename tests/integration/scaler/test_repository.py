"""What the scaler reads: each workload with the newest of everything that it is advised by."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.scaler import repository
from tests.integration.admin.seeded_fleet import NOW, Seeded, seed_fleet

pytestmark = pytest.mark.integration
POLICY = "harmony-1"
LAST = 47


@pytest.fixture
def seeded(database: Engine) -> Seeded:
    return seed_fleet(database)


def test_a_workload_comes_with_its_newest_decision_action_and_replicas(
    database: Engine, seeded: Seeded
) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO actions SELECT id + 10000000, origin_at, decision_id, workload_id, 2, "
                "from_replicas, to_replicas, 'failed', 'again', applied_at FROM actions "
                "WHERE workload_id = 1"
            )
        )
        row = repository.load_one(connection, "llm-prod", "llama-70b-chat", POLICY, NOW)
        decided = connection.execute(
            text("SELECT desired_replicas FROM decisions WHERE id = 100047")
        ).scalar_one()
    assert row is not None
    assert (row["id"], row["decision_id"], row["desired_replicas"]) == (1, 100_000 + LAST, decided)
    assert (row["result"], row["result_reason"]) == ("failed", "again")
    assert row["observed_at"] == seeded.now
    assert (row["is_active"], row["spec"]["mode"], row["approved_id"]) == (True, "Auto", None)


@pytest.mark.usefixtures("seeded")
def test_another_policys_decisions_are_not_followed(database: Engine) -> None:
    with database.connect() as connection:
        row = repository.load_one(connection, "llm-prod", "llama-70b-chat", "other", NOW)
        assert repository.load_one(connection, "llm-prod", "none", POLICY, NOW) is None
        assert repository.load_one(connection, "none", "llama-70b-chat", POLICY, NOW) is None
    assert row is not None
    assert (row["decision_id"], row["result"]) == (None, None)
    assert row["spec_replicas"] is not None


@pytest.mark.usefixtures("seeded")
def test_what_was_approved_is_the_last_count_that_was_handed_over(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE actions SET result = 'delegated', to_replicas = 7 + attempt "
                "WHERE id IN (300040, 300041, 100047)"
            )
        )
        row = repository.load_one(connection, "diffusion", "sdxl-turbo", POLICY, NOW)
        auto = repository.load_one(connection, "llm-prod", "llama-70b-chat", POLICY, NOW)
    assert row is not None
    assert auto is not None
    assert (row["approved_id"], row["approved_replicas"]) == (300_041, 8)
    assert auto["approved_id"] is None


def test_active_workloads_are_read_as_one_is_but_without_specs(
    database: Engine, seeded: Seeded
) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = name <> 'mixtral-agents'"))
        rows = {row["name"]: row for row in repository.load_active(connection, POLICY, NOW)}
        one = repository.load_one(connection, "llm-prod", "llama-70b-chat", POLICY, NOW)
        gone = repository.load_one(connection, "llm-prod", "mixtral-agents", POLICY, NOW)
    assert set(rows) == {"llama-70b-chat", "sdxl-turbo"}
    assert one is not None
    assert gone is not None
    assert not gone["is_active"]
    assert dict(one) == dict(rows["llama-70b-chat"]) | {"is_active": True, "spec": one["spec"]}
    assert rows["sdxl-turbo"]["valid_until"] > seeded.now + timedelta(minutes=1)


@pytest.mark.usefixtures("seeded")
def test_specs_are_read_by_id(database: Engine) -> None:
    with database.connect() as connection:
        specs = repository.load_specs(connection, [1, 3, 99])
    assert set(specs) == {1, 3}
    assert specs[3]["mode"] == "Approval"
