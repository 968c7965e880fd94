"""Operations over HTTP: a backtest from its request to its frontier, cancelled ones, lost ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import Engine, insert, text

from services.admin.app import make_app
from services.admin.decisions.service import AdminDeps
from services.admin.operations.service import MAX_OPEN
from services.backtest.service import carry_out
from services.decision.decide import operations as service_operations
from services.decision.decide.service import Deps as DecisionDeps
from services.kernel import jobs
from services.kernel.db import schema
from services.kernel.db.operations import SILENT_AFTER, claim_operation
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role, create_key
from services.simulator.policies.rivals import rivals
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration

STEP_S = 600
KEY = "prod/tiny"


@pytest.fixture
def tiny(database: Engine) -> str:
    """A workload with two days of demand on steps of ten minutes; nothing was decided for it."""
    spec = {
        "target": "Deployment/tiny",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
        "min_replicas": 1,
        "max_replicas": 20,
    }
    n = 2 * 86_400 // STEP_S
    t = np.arange(n)
    rng = np.random.default_rng(3)
    demand = 60 + 40 * np.sin(2 * np.pi * t * STEP_S / 86_400) + rng.normal(0, 4, n)
    first = NOW - timedelta(seconds=STEP_S * n)
    at = {"created_at": first, "updated_at": first}
    with database.begin() as connection:
        row = {"namespace": "prod", "name": "tiny", "shard": 0, "step_s": STEP_S, "spec": spec}
        statement = insert(schema.workloads).values(row | at).returning(schema.workloads.c.id)
        workload = connection.execute(statement).scalar_one()
        columns = ("workload_id", "indicator", "step_at", "value", "is_observed")
        rows = [
            (workload, "request_rate_rps", first + timedelta(seconds=STEP_S * int(k)), value, True)
            for k, value in zip(t, demand.tolist(), strict=True)
        ]
        copy_rows(connection, CopyTarget(schema.indicators, columns, "error"), rows)
    return KEY


def sent(deps: AdminDeps) -> list[jobs.Job]:
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    return sender.sent


def test_a_backtest_from_its_request_to_its_frontier(
    admin: AppClient, deps: AdminDeps, tiny: str
) -> None:
    assert admin.get("/v1/frontier").status_code == 404
    body = {"workloads": [tiny], "replay_hours": 3, "epsilons": [0.05], "policies": ["hpa"]}
    asked = admin.post("/v1/backtests", json=body)
    assert (asked.status_code, asked.json()["progress"]) == (202, 0)
    (job,) = sent(deps)
    assert (job.name, job.payload) == (jobs.BACKTEST, {"operation_id": asked.json()["id"]})
    path = f"/v1/backtests/{asked.json()['id']}"
    assert admin.get("/v1/frontier", params={"backtest_id": asked.json()["id"]}).status_code == 409
    carry_out(deps.engine, deps.clock, deps.wall, asked.json()["id"])
    done = admin.get(path).json()
    assert (done["status"], done["progress"], done["message"]) == ("succeeded", 1, "done")
    (run,) = done["result"]["runs"]
    assert {"harmony", "hpa", "oracle"} <= set(run["policies"])
    assert done["result"]["workload_keys"] == [tiny]
    frontier = admin.get("/v1/frontier", params={"workload": tiny}).json()
    assert frontier["backtest_id"] == asked.json()["id"]
    curves = {curve["policy"]: curve["points"] for curve in frontier["curves"]}
    assert {"harmony", "hpa"} <= set(curves)
    assert len(curves["harmony"]) > 10
    assert all(point["cost_usd"] > 0 for point in curves["harmony"])
    carry_out(deps.engine, deps.clock, deps.wall, asked.json()["id"])  # delivered twice
    assert admin.get(path).json() == done
    assert admin.get("/v1/frontier", params={"workload": "prod/other"}).status_code == 404
    late = admin.post(f"{path}/cancel", json={})
    assert (late.status_code, "has ended as succeeded" in late.json()["detail"]) == (409, True)


def test_a_backtest_ends_where_it_is_cancelled(
    admin: AppClient, deps: AdminDeps, tiny: str
) -> None:
    queued, running = (
        admin.post("/v1/backtests", json={"workloads": [tiny], "replay_hours": 2}).json()["id"]
        for _ in range(2)
    )
    first = admin.post(f"/v1/backtests/{queued}/cancel", json={}).json()
    assert (first["status"], first["finished_at"] is not None) == ("cancelled", True)
    carry_out(deps.engine, deps.clock, deps.wall, queued)
    assert admin.get(f"/v1/backtests/{queued}").json()["n_attempts"] == 0
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE operations SET is_cancel_requested = true WHERE id = :id"),
            {"id": running},
        )
    carry_out(deps.engine, deps.clock, deps.wall, running)
    ended = admin.get(f"/v1/operations/{running}").json()
    assert (ended["status"], ended["result"]) == ("cancelled", None)


def test_a_backtest_without_enough_demand_says_so(
    admin: AppClient, deps: AdminDeps, tiny: str
) -> None:
    asked = admin.post("/v1/backtests", json={"workloads": [tiny], "replay_hours": 40}).json()
    carry_out(deps.engine, deps.clock, deps.wall, asked["id"])
    ended = admin.get(f"/v1/backtests/{asked['id']}").json()
    assert ended["status"] == "failed"
    assert "at least 144 are needed" in ended["message"]


def test_what_cannot_be_backtested_is_pointed_at(admin: AppClient, tiny: str) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"workloads": []}, "/workloads"),
        ({"workloads": ["tiny"]}, "/workloads/0"),
        ({"workloads": [tiny, tiny]}, "/workloads"),
        ({"workloads": [tiny, "prod/none"]}, "/workloads/1"),
        ({"workloads": ["prod/a\x00"]}, "/workloads/0"),
        ({"workloads": [tiny], "epsilons": [1.0]}, "/epsilons/0"),
        ({"workloads": [tiny], "policies": ["magic"]}, "/policies/0"),
        ({"workloads": [tiny], "replay_hours": 1e9}, "/replay_hours"),
    ]
    for body, pointer in cases:
        answer = admin.post("/v1/backtests", json=body)
        assert answer.status_code == 422, body
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert admin.get("/v1/operations").json()["items"] == []


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


def test_the_api_knows_the_policies_of_the_laboratory(admin: AppClient) -> None:
    document = admin.get("/openapi.json").json()
    known = document["components"]["schemas"]["BacktestRequest"]["properties"]["policies"]
    assert set(known["items"]["enum"]) == set(rivals(60.0))


def test_a_full_queue_is_refused_and_lists_page(admin: AppClient, tiny: str) -> None:
    ids = [
        admin.post("/v1/backtests", json={"workloads": [tiny]}).json()["id"]
        for _ in range(MAX_OPEN["backtest"])
    ]
    full = admin.post("/v1/backtests", json={"workloads": [tiny]})
    assert (full.status_code, full.json()["code"]) == (409, "conflict")
    page = admin.get("/v1/backtests", params={"limit": 5}).json()
    newer = admin.post("/v1/models/train", json={}).json()["id"]
    rest = admin.get("/v1/backtests", params={"cursor": page["next_cursor"]}).json()
    assert [i["id"] for i in page["items"] + rest["items"]] == ids[::-1]
    assert [i["id"] for i in admin.get("/v1/operations").json()["items"]] == [newer, *ids[::-1]]
    waiting = {"kind": "train_model", "status": "queued"}
    assert len(admin.get("/v1/operations", params=waiting).json()["items"]) == 1


def test_operations_of_other_namespaces_are_not_seen(
    admin: AppClient, database: Engine, tiny: str
) -> None:
    asked = admin.post("/v1/backtests", json={"workloads": [tiny]}).json()["id"]
    with database.begin() as connection:
        tokens = {
            name: create_key(connection, name, Role.OPERATOR, NOW, None, [name]).token
            for name in ("prod", "other")
        }
    own, foreign = ({"Authorization": f"Bearer {tokens[n]}"} for n in ("prod", "other"))
    assert len(admin.get("/v1/operations", headers=own).json()["items"]) == 1
    assert admin.get("/v1/operations", headers=foreign).json()["items"] == []
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = admin.request(method, f"/v1/backtests/{asked}{path}", json={}, headers=foreign)
        assert answer.status_code == 404
    refused = admin.post("/v1/backtests", json={"workloads": [tiny]}, headers=foreign)
    assert refused.status_code == 404


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
