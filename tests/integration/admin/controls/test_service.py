"""Use cases of pauses and policies; lists of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.admin.deps import AdminDeps
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import LLAMA, count, patch
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_what_does_not_fit_the_rest_is_refused_whole(admin: AppClient, database: Engine) -> None:
    answer = patch(admin, {"max_replicas": 1, "epsilon": 0.2}, **{"If-Match": "*"})
    assert answer.status_code == 422
    assert "min_replicas=2 must be <= max_replicas=1" in answer.json()["detail"]
    assert count(database, "workload_controls") == count(database, "audit") == 0


def test_a_price_of_variants_is_refused_and_said_to_be_theirs(
    admin: AppClient, console, database: Engine
) -> None:
    """It would show another price and reckon with the variants' own as before."""
    kinds = [
        {"name": name, "target": f"Deployment/{name}", "gpu_type": name, **price}
        for name, price in (("H100", {"price_usd_per_gpu_hour": 4.0}), ("L4", {}))
    ]
    with database.begin() as connection:
        statement = "UPDATE workloads SET spec = jsonb_set(spec, '{variants}', :kinds)"
        connection.execute(
            text(statement).bindparams(bindparam("kinds", type_=JSONB)), {"kinds": kinds}
        )
    answer = patch(admin, {"price_usd_per_gpu_hour": 9.0}, **{"If-Match": "*"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (
        422, "/price_usd_per_gpu_hour",
    )  # fmt: skip
    assert "the variants H100, L4 have a price each" in answer.json()["detail"]
    assert patch(admin, {"max_replicas": 30}, **{"If-Match": "*"}).status_code == 200
    page = console.get("/workloads/llm-prod/llama-70b-chat/policy").text
    assert "<strong>$4.00</strong> H100" in page
    assert 'name="price_usd_per_gpu_hour"' not in page


def test_a_pause_needs_no_version_but_honours_one(admin: AppClient) -> None:
    until = NOW + timedelta(hours=1)
    past = {"until_at": (NOW - timedelta(seconds=1)).isoformat()}
    refused = admin.request("PUT", f"{LLAMA}/pause", json=past)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/until_at")
    body = {"direction": "ScaleIn", "until_at": until.isoformat(), "reason": "<b>test</b>"}
    made = admin.request("PUT", f"{LLAMA}/pause", json=body)
    assert made.status_code == 200, made.text
    assert made.json()["direction"] == "ScaleIn"
    assert made.json()["reason"] == "<b>test</b>"
    stale = admin.request("DELETE", f"{LLAMA}/pause", headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    lifted = admin.request("DELETE", f"{LLAMA}/pause", headers={"If-Match": '"1"'})
    assert (lifted.status_code, lifted.json()["is_paused"]) == (200, False)
    assert lifted.headers["ETag"] == '"2"'


def test_a_pause_ends_by_itself(admin: AppClient, deps: AdminDeps) -> None:
    body = {"until_at": (NOW + timedelta(minutes=5)).isoformat()}
    admin.request("PUT", f"{LLAMA}/pause", json=body)
    assert admin.get(f"{LLAMA}/pause").json()["is_paused"] is True
    deps.clock.advance(300)  # type: ignore[attr-defined]  # a FixedClock
    assert admin.get(f"{LLAMA}/pause").json()["is_paused"] is False


@pytest.mark.parametrize(
    "spoil",
    [
        # as a later release stored it, before this one was rolled back to
        "INSERT INTO workload_controls (workload_id, body, version, updated_by, updated_at) "
        "SELECT id, '{\"of_a_later_release\": 1}', 1, 'ann', now() FROM workloads "
        "WHERE name = 'llama-70b-chat'",
        'UPDATE workloads SET spec = spec || \'{"paused": "well", "schedules": "none"}\' '
        "WHERE name = 'llama-70b-chat'",
    ],
)
def test_what_cannot_be_read_of_one_keeps_no_other_from_being_shown(
    admin: AppClient, database: Engine, spoil: str
) -> None:
    names = [one["workload"] for one in admin.get("/v1/policies").json()["items"]]
    with database.begin() as connection:
        connection.execute(text(spoil.replace(":", "\\:")))
    left = [one["workload"] for one in admin.get("/v1/policies").json()["items"]]
    assert left == [name for name in names if name != "llama-70b-chat"]
    assert left
    assert admin.get("/v1/pauses").status_code == 200
    assert admin.get("/v1/schedules").status_code == 200
    refused = admin.get(f"{LLAMA}/policy")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "workload llm-prod/llama-70b-chat" in refused.json()["detail"]
