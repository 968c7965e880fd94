"""Use cases of keys: made, rotated, revoked, in pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.kernel.clock import FixedClock
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


def bearer(token: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


def advance(deps: AdminDeps, delta: timedelta) -> None:
    assert isinstance(deps.wall, FixedClock)
    deps.wall.advance(delta.total_seconds())


def test_keys_are_made_shown_once_used_and_revoked(
    admin: AppClient, anonymous: AppClient, database: Engine
) -> None:
    made = admin.post("/v1/keys", json={"name": "grafana", "role": "viewer"})
    assert made.status_code == 201
    token = made.json()["token"]
    assert anonymous.get("/v1/workloads", **bearer(token)).status_code == 200
    listed = admin.get("/v1/keys").text
    assert "grafana" in listed
    _, _, secret = token.split("_", 2)  # the secret itself may hold underscores
    assert secret not in listed
    assert "argon2" not in listed
    gone = admin.delete(f"/v1/keys/{made.json()['id']}")
    assert gone.status_code == 204
    assert anonymous.get("/v1/workloads", **bearer(token)).status_code == 401
    assert admin.delete(f"/v1/keys/{made.json()['id']}").status_code == 404
    revoke, create = admin.get("/v1/audit").json()["items"]
    assert (revoke["action"], create["action"]) == ("key.revoke", "key.create")
    assert revoke["actor"].startswith("admin (")
    assert create["after"] == {"name": "grafana", "role": "viewer", "cluster": "default"}
    assert revoke["before"] == create["after"]
    assert revoke["after"] == create["after"] | {"revoked_at": NOW.isoformat()}
    assert secret not in admin.get("/v1/audit").text
    checked = admin.get("/v1/audit/check").json()
    assert checked["head"] == f"{revoke['id']}:{revoke['hash']}"
    assert (checked["is_intact"], checked["n_entries"], checked["is_anchored"]) == (True, 2, None)
    anchored = admin.get("/v1/audit/check", params={"anchor": checked["head"]}).json()
    assert (anchored["is_intact"], anchored["is_anchored"]) == (True, True)
    answer = admin.get("/v1/audit/check", params={"anchor": "7"})
    assert answer.status_code == 422
    assert "anchor='7'" in answer.json()["detail"]
    assert head_metric(anonymous) == revoke["id"]
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))  # as the table's owner
        connection.execute(text("DELETE FROM audit WHERE action = 'key.revoke'"))
    assert head_metric(anonymous) == create["id"]  # it fell
    cut = admin.get("/v1/audit/check", params={"anchor": checked["head"]}).json()
    assert (cut["is_intact"], cut["is_anchored"]) == (False, False)
    with database.begin() as connection:
        connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE action = 'key.create'"))
    assert admin.get("/v1/audit/check").json()["first_broken_id"] == create["id"]


def head_metric(client: AppClient) -> int:
    """The audit's head as Prometheus scrapes it after a readiness check."""
    assert client.get("/readyz").status_code == 200
    lines = client.get("/metrics").text.splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith("harmony_audit_head_id ")]
    return int(float(value))


def test_a_rotated_key_goes_on_until_its_grace_ends(
    admin: AppClient, anonymous: AppClient, deps: AdminDeps
) -> None:
    body = {"name": "ci", "role": "operator", "namespaces": ["team-a"]}
    old = admin.post("/v1/keys", json=body).json()
    rotated = admin.post(f"/v1/keys/{old['id']}/rotate", json={"grace_s": 3600})
    assert rotated.status_code == 201
    new = rotated.json()
    assert {name: new[name] for name in body} == body
    assert new["token"] != old["token"]
    again = admin.post(f"/v1/keys/{old['id']}/rotate", json={})
    assert again.status_code == 409
    assert again.json()["code"] == "conflict"
    advance(deps, timedelta(minutes=59))
    for key in (old, new):
        assert anonymous.get("/v1/whoami", **bearer(key["token"])).status_code == 200
    advance(deps, timedelta(minutes=1))
    assert anonymous.get("/v1/whoami", **bearer(old["token"])).status_code == 401
    assert anonymous.get("/v1/whoami", **bearer(new["token"])).status_code == 200
    listed = {key["id"]: key for key in admin.get("/v1/keys").json()["items"]}
    assert listed[old["id"]]["replaced_by"] == new["id"]
    actions = [entry["action"] for entry in admin.get("/v1/audit").json()["items"]]
    assert actions == ["key.create", "key.rotate", "key.create"]
    for path, grace_s in ((new["id"], -1), (new["id"], 31 * 86400), (new["id"], "soon")):
        wrong = admin.post(f"/v1/keys/{path}/rotate", json={"grace_s": grace_s})
        assert wrong.status_code == 422
        assert "grace_s" in wrong.json()["detail"]
    assert admin.post("/v1/keys/4711/rotate", json={}).status_code == 404


def test_a_rotation_without_grace_holds_at_once(admin: AppClient, anonymous: AppClient) -> None:
    old = admin.post("/v1/keys", json={"name": "leaked", "role": "viewer"}).json()
    assert anonymous.get("/v1/whoami", **bearer(old["token"])).status_code == 200
    admin.post(f"/v1/keys/{old['id']}/rotate", json={"grace_s": 0})
    assert anonymous.get("/v1/whoami", **bearer(old["token"])).status_code == 401


def test_an_admin_of_a_namespace_administers_its_keys_only(
    admin: AppClient, anonymous: AppClient
) -> None:
    body = {"name": "team a", "role": "admin", "namespaces": ["team-a", "team-b"]}
    scoped = bearer(admin.post("/v1/keys", json=body).json()["token"])
    for namespaces in (None, ["team-c"], ["team-a", "team-c"]):
        refused = anonymous.post("/v1/keys", json=body | {"namespaces": namespaces}, **scoped)
        assert refused.status_code == 403, namespaces
    made = anonymous.post("/v1/keys", json=body | {"namespaces": ["team-b"]}, **scoped)
    assert made.status_code == 201
    seen = anonymous.get("/v1/keys", **scoped).json()["items"]
    assert [key["namespaces"] for key in seen] == [["team-b"], ["team-a", "team-b"]]
    every = admin.get("/v1/keys").json()["items"]
    foreign = next(key["id"] for key in every if key["namespaces"] is None)
    assert anonymous.delete(f"/v1/keys/{foreign}", **scoped).status_code == 404
    assert anonymous.post(f"/v1/keys/{foreign}/rotate", json={}, **scoped).status_code == 404
    assert anonymous.delete(f"/v1/keys/{made.json()['id']}", **scoped).status_code == 204
    assert anonymous.get("/v1/audit", **scoped).status_code == 403
    who = anonymous.get("/v1/whoami", **scoped).json()
    assert who["grants"] == [
        {"namespace": "team-a", "role": "admin", "cluster": "default"},
        {"namespace": "team-b", "role": "admin", "cluster": "default"},
    ]
    assert who["name"] == "team a"


def test_keys_come_in_pages(admin: AppClient) -> None:
    for i in range(5):
        assert admin.post("/v1/keys", json={"name": f"k{i}", "role": "viewer"}).status_code == 201
    whole = [key["id"] for key in admin.get("/v1/keys").json()["items"]]
    assert whole == sorted(whole, reverse=True)
    found: list[int] = []
    page: dict[str, Any] = {"next_cursor": None}
    while not found or page["next_cursor"]:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = admin.get("/v1/keys", params={"limit": 2, **cursor}).json()
        assert len(page["items"]) <= 2
        found += [key["id"] for key in page["items"]]
    assert found == whole
    assert admin.get("/v1/keys", params={"cursor": "nonsense"}).json()["code"] == "invalid_input"
