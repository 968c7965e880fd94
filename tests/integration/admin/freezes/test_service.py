"""Use cases of change freezes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from services.admin.freezes import service
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_freezes_of_the_fleet_need_an_operator_of_the_fleet(
    admin: AppClient, database: Engine
) -> None:
    with database.begin() as connection:
        token = create_key(connection, "own", Role.OPERATOR, NOW, None, ["llm-prod"]).token
    own = {"headers": {"Authorization": f"Bearer {token}"}}
    until = (NOW + timedelta(days=1)).isoformat()
    assert admin.post("/v1/freezes", json={"until_at": until}, **own).status_code == 403
    elsewhere = {"until_at": until, "namespace": "diffusion"}
    hidden = admin.post("/v1/freezes", json=elsewhere, **own)
    assert hidden.status_code == 404
    mine = admin.post("/v1/freezes", json={"until_at": until, "namespace": "llm-prod"}, **own)
    fleet = admin.post("/v1/freezes", json={"until_at": until, "reason": "audit week"})
    other = admin.post("/v1/freezes", json=elsewhere)
    assert {mine.status_code, fleet.status_code, other.status_code} == {201}
    assert mine.json()["is_in_force"] is True
    seen = [item["id"] for item in admin.get("/v1/freezes", **own).json()["items"]]
    assert seen == [fleet.json()["id"], mine.json()["id"]]
    assert admin.get(other.headers["Location"], **own).status_code == 404
    gone = admin.request("DELETE", fleet.headers["Location"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert admin.request("DELETE", fleet.headers["Location"]).status_code == 409
    standing = admin.get("/v1/freezes", params={"standing": True}).json()["items"]
    assert [item["id"] for item in standing] == [other.json()["id"], mine.json()["id"]]
    after = {"from_at": (NOW + timedelta(days=2)).isoformat()}
    assert admin.get("/v1/freezes", params=after).json()["items"] == []


def test_a_namespace_has_no_more_standing_freezes_than_may_be(
    admin: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pass of the operator reads them all, for every tenant."""
    monkeypatch.setattr(service, "MOST_STANDING", 2)
    until = (NOW + timedelta(days=1)).isoformat()
    body = {"until_at": until, "namespace": "llm-prod"}
    made = [admin.post("/v1/freezes", json=body) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    refused = admin.post("/v1/freezes", json=body | {"workload": "llama-70b-chat"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "namespace 'llm-prod' has 2 freezes in force or to come" in refused.json()["detail"]
    for elsewhere in ({"until_at": until, "namespace": "diffusion"}, {"until_at": until}):
        assert admin.post("/v1/freezes", json=elsewhere).status_code == 201
    assert admin.request("DELETE", made[0].headers["Location"]).status_code == 204
    assert admin.post("/v1/freezes", json=body).status_code == 201
