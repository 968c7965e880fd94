"""Operations over HTTP: a backtest from its request to its frontier, cancelled ones, lost ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import text

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.admin.operations.service import MAX_OPEN
from services.backtest.service import carry_out
from services.decision.decide import operations as service_operations
from services.decision.wiring import DecisionDeps
from services.kernel import jobs
from services.kernel.db.operations import SILENT_AFTER, claim_operation
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import AppClient

pytestmark = pytest.mark.integration


def test_a_backtest_ends_where_it_is_cancelled(
    admin: AppClient, deps: AdminDeps, tiny: str
) -> None:
    queued, running = (
        admin.post("/v1/backtests", json={"workloads": [tiny], "replay_hours": 2}).json()["id"]
        for _ in range(2)
    )
    first = admin.post(f"/v1/backtests/{queued}/cancel", json={}).json()
    assert (first["status"], first["finished_at"] is not None) == ("cancelled", True)
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE operations SET is_cancel_requested = true WHERE id = :id"),
            {"id": running},
        )
    carry_out(deps.engine, deps.clock, deps.wall, running)
    ended = admin.get(f"/v1/operations/{running}").json()
    assert (ended["status"], ended["result"]) == ("cancelled", None)
    carry_out(deps.engine, deps.clock, deps.wall, queued)
    assert admin.get(f"/v1/backtests/{queued}").json()["n_attempts"] == 0


def test_a_backtest_without_enough_demand_says_so(
    admin: AppClient, deps: AdminDeps, tiny: str
) -> None:
    asked = admin.post("/v1/backtests", json={"workloads": [tiny], "replay_hours": 40}).json()
    carry_out(deps.engine, deps.clock, deps.wall, asked["id"])
    ended = admin.get(f"/v1/backtests/{asked['id']}").json()
    assert ended["status"] == "failed"
    assert "at least 144 are needed" in ended["message"]


class _AwayBroker:
    """A sender whose broker cannot be reached."""

    def send(self, job: jobs.Job) -> None:
        raise BrokerError(f"no broker for {job.name}")


def test_a_broker_that_is_away_costs_latency_not_the_write(
    deps: AdminDeps, tiny: str, keys: dict[Role, str]
) -> None:
    headers = {"Authorization": f"Bearer {keys[Role.OPERATOR]}"}
    with AppClient(make_app(replace(deps, sender=_AwayBroker())), headers) as client:
        asked = client.post("/v1/backtests", json={"workloads": [tiny]})
        assert (asked.status_code, asked.json()["status"]) == (202, "queued")
    deps.wall.advance(SILENT_AFTER.total_seconds() + 1)  # type: ignore[attr-defined]
    sender = RecordingSender()
    decision = DecisionDeps(deps.engine, deps.clock, deps.settings, sender=sender)
    assert service_operations.sweep(decision, deps.wall) == 1
    assert sender.sent[0].payload == {"operation_id": asked.json()["id"]}


def test_a_full_queue_is_refused_and_lists_page(admin: AppClient, tiny: str) -> None:
    ids = [
        admin.post("/v1/backtests", json={"workloads": [tiny]}).json()["id"]
        for _ in range(MAX_OPEN["backtest"] // 2)
    ]
    full = admin.post("/v1/backtests", json={"workloads": [tiny]})
    assert (full.status_code, full.json()["code"]) == (409, "conflict")
    assert "of one namespace" in full.json()["detail"]
    page = admin.get("/v1/backtests", params={"limit": 3}).json()
    newer = admin.post("/v1/models/train", json={}).json()["id"]
    rest = admin.get("/v1/backtests", params={"cursor": page["next_cursor"]}).json()
    assert [i["id"] for i in page["items"] + rest["items"]] == ids[::-1]
    assert [i["id"] for i in admin.get("/v1/operations").json()["items"]] == [newer, *ids[::-1]]
    waiting = {"kind": "train_model", "status": "queued"}
    assert len(admin.get("/v1/operations", params=waiting).json()["items"]) == 1


def test_an_operation_whose_worker_died_is_sent_again_and_given_up_in_the_end(
    admin: AppClient, deps: AdminDeps, tiny: str
) -> None:
    asked = admin.post("/v1/backtests", json={"workloads": [tiny]}).json()["id"]
    sender = RecordingSender()
    decision = DecisionDeps(deps.engine, deps.clock, deps.settings, sender=sender)
    for attempt in (1, 2, 3):
        with deps.engine.begin() as connection:
            claimed = claim_operation(connection, asked, deps.wall.now())
            assert claimed is not None
            assert claimed.n_attempts == attempt
            assert claim_operation(connection, asked, deps.wall.now()) is None
        assert service_operations.sweep(decision, deps.wall) == 0
        deps.wall.advance(SILENT_AFTER.total_seconds() + 1)  # type: ignore[attr-defined]
        assert service_operations.sweep(decision, deps.wall) == 1
    assert {job.name for job in sender.sent} == {jobs.BACKTEST}
    carry_out(deps.engine, deps.clock, deps.wall, asked)
    ended = admin.get(f"/v1/operations/{asked}").json()
    assert (ended["status"], ended["message"]) == ("failed", "given up: its worker died 3 times")


def test_one_namespace_leaves_half_of_the_slots_to_others(
    admin: AppClient, deps: AdminDeps, tiny: str
) -> None:
    name = tiny.partition("/")[0]
    with deps.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) SELECT 'other', name, shard, step_s, spec, created_at, updated_at "
                "FROM workloads WHERE namespace = :namespace AND name = :name"
            ),
            {"namespace": name, "name": tiny.partition("/")[2]},
        )
    other = "other/" + tiny.partition("/")[2]
    half = MAX_OPEN["backtest"] // 2
    for _ in range(half):
        assert admin.post("/v1/backtests", json={"workloads": [tiny]}).status_code == 202
    full = admin.post("/v1/backtests", json={"workloads": [other, tiny]})
    assert full.status_code == 409, "of both namespaces, one of which has its share"
    assert f"at most {half} of the {MAX_OPEN['backtest']} may be of one" in full.json()["detail"]
    for _ in range(half):
        assert admin.post("/v1/backtests", json={"workloads": [other]}).status_code == 202
