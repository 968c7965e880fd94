"""A budget's state and price in the answer."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.budgets.budget_rows import STEP, Fleet, one
from tests.integration.admin.seeded_fleet import NOW
from tests.integration.admin.seeded_rows import STEP_S

pytestmark = pytest.mark.integration


def test_what_was_never_measured_is_not_zero(viewer: AppClient, fleet: Fleet) -> None:
    fleet.add("seen", 4)
    fleet.add("unseen", None)
    fleet.budget("H100", 20)
    fleet.budget("A100", 20)
    found = one(viewer)
    assert (found["n_workloads"], found["n_unmeasured"]) == (2, 1)
    assert (found["used_gpus"], found["free_gpus"]) == (None, None)
    unused = one(viewer, "A100")
    assert (unused["n_workloads"], unused["used_gpus"], unused["free_gpus"]) == (0, 0, 20)


def test_a_stale_budget_and_one_that_cannot_be_read_are_told_apart(
    viewer: AppClient, fleet: Fleet
) -> None:
    fleet.add("w", 4)
    fleet.add("l", 6, gpu_type="L4")
    fleet.budget("H100", 20, age_s=3 * STEP_S)
    fleet.budget("A100", 20, age_s=3 * STEP_S + 1)
    fleet.budget("*", None, reason="the GPUBudgets cannot be listed")
    unknown, ampere, hopper = viewer.get("/v1/budgets").json()["items"]
    assert (hopper["is_stale"], ampere["is_stale"], unknown["is_stale"]) == (False, True, False)
    assert (unknown["gpu_type"], unknown["gpus"], unknown["free_gpus"]) == ("*", None, None)
    assert unknown["reason"] == "the GPUBudgets cannot be listed"
    assert (unknown["n_workloads"], unknown["used_gpus"]) == (1, 6)  # the L4: H100 has its own
    assert one(viewer, "*") == unknown


def test_the_price_is_that_of_the_newest_valid_decision(viewer: AppClient, fleet: Fleet) -> None:
    a, b = fleet.add("a", 1), fleet.add("b", 1)
    fleet.budget("H100", 25)
    fleet.decide(a, 1, 1, NOW - STEP, price=9.0)
    fleet.decide(b, 1, 1, NOW, price=3.2)
    found = one(viewer)
    assert (found["price_usd_per_gpu_hour"], found["is_feasible"]) == (3.2, True)
    assert found["decided_at"] == "2026-01-06T12:00:00Z"
    fleet.decide(a, 1, 1, NOW + STEP, price=None, is_feasible=False)
    found = one(viewer)
    assert (found["price_usd_per_gpu_hour"], found["is_feasible"]) == (None, False)


def test_a_decision_made_before_there_was_a_budget_has_no_price(
    viewer: AppClient, fleet: Fleet
) -> None:
    workload = fleet.add("a", 1)
    fleet.decide(workload, 1, 1)
    with fleet.engine.begin() as connection:
        connection.execute(text("UPDATE decisions SET explanation = explanation - 'gpu_budget'"))
    fleet.budget("H100", 25)
    found = one(viewer)
    assert (found["price_usd_per_gpu_hour"], found["is_feasible"]) == (None, None)
    assert found["decided_at"] is not None


def test_where_gpus_come_from(viewer: AppClient, console: AppClient, fleet: Fleet) -> None:
    fleet.add("w", 4)
    for gpu_type in ("H100", "A100", "L4"):
        fleet.budget(gpu_type, 20)
    retry_at = NOW + STEP
    fleet.supply("H100", 96, refused_at=NOW, retry_at=retry_at, n_refused=1, refusal="no capacity")
    fleet.supply("A100", None)
    refused, fixed = one(viewer)["supply"], one(viewer, "A100")["supply"]
    assert (refused["mode"], refused["ceiling"], refused["node_gpus"]) == ("provisioned", 96, 16)
    assert (refused["refusal"], refused["retry_at"]) == ("no capacity", "2026-01-06T12:05:00Z")
    assert (fixed["mode"], fixed["ceiling"], fixed["refusal"]) == ("fixed", None, "")
    assert fixed["retry_at"] is None
    assert one(viewer, "L4")["supply"] is None
    page = console.get("/limits").text
    assert "No nodes come" in page
    assert "no capacity" in page


def test_what_is_to_be_held_ready(viewer: AppClient, console: AppClient, fleet: Fleet) -> None:
    fleet.add("w", 4)
    for gpu_type in ("H100", "A100"):
        fleet.budget(gpu_type, 20)
        fleet.supply(gpu_type, 96)
    fleet.headroom("H100")
    found = one(viewer)["supply"]["headroom"]
    assert (found["gpus"], found["free_gpus"], found["usd_per_hour"]) == (16, 4, 40.0)
    assert (found["risk_before"], found["risk_after"]) == (0.25, 0.0078125)
    assert (found["advised_at"], found["is_stale"]) == ("2026-01-06T12:00:00Z", False)
    assert one(viewer, "A100")["supply"]["headroom"] is None
    page = console.get("/limits").text
    assert page.count("to hold ready") == 1
    assert "16 to hold ready, 4 free, $40" in page
    fleet.headroom("A100", advised_at=NOW - 9 * STEP)
    assert one(viewer, "A100")["supply"]["headroom"]["is_stale"]
    assert console.get("/limits").text.count("to hold ready") == 1
