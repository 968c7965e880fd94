"""A backtest and its frontier."""

from __future__ import annotations

import pytest

from services.admin.deps import AdminDeps
from services.backtest.service import carry_out
from services.kernel import jobs
from services.kernel.jobs import RecordingSender
from tests.integration.admin.app_client import AppClient

pytestmark = pytest.mark.integration


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
    assert next(iter(curves)) == "harmony", "whatever order the database gives them in"
    assert list(curves)[-1] == "oracle" or "oracle" not in curves
    assert len(curves["harmony"]) > 10
    assert all(point["cost_usd"] > 0 for point in curves["harmony"])
    carry_out(deps.engine, deps.clock, deps.wall, asked.json()["id"])  # delivered twice
    assert admin.get(path).json() == done
    assert admin.get("/v1/frontier", params={"workload": "prod/other"}).status_code == 404
    late = admin.post(f"{path}/cancel", json={})
    assert (late.status_code, "has ended as succeeded" in late.json()["detail"]) == (409, True)
