"""The keys' page: made, shown once, rotated, revoked."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.kernel.db.clusters import add_cluster
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_forms import beside
from tests.integration.admin.console_visitor import Person, audited, person
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_a_key_is_made_shown_once_rotated_and_revoked(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.ADMIN) as human:
        form = {"key_name": "grafana <1>", "role": "viewer", "namespaces": "llm-prod, diffusion"}
        made = human.send("/keys", form | {"expires_at": "2026-02-01T00:00"})
        assert made.status_code == 200
        assert made.headers["cache-control"] == "no-store"
        (token,) = re.findall(r'value="(hk_[^"]+)"', made.text)
        assert "grafana &lt;1&gt;" in made.text
        assert "stored nowhere" in made.text
        who = human.get("/v1/whoami", headers={"Authorization": f"Bearer {token}"}).json()
        assert [grant["namespace"] for grant in who["grants"]] == ["diffusion", "llm-prod"]
        page = human.get("/keys").text
        assert token not in page
        assert "the one you are using" in page
        key_id = re.findall(r'action="/keys/(\d+)/rotate"', page)[0]
        rotated = human.send(f"/keys/{key_id}/rotate", {"grace_s": "0"})
        (second,) = re.findall(r'value="(hk_[^"]+)"', rotated.text)
        assert second != token
        assert "Replaced" in human.get("/keys").text
        again = human.send(f"/keys/{key_id}/rotate", {"grace_s": "0"})
        assert again.status_code in {404, 409}
        newest = re.findall(r'action="/keys/(\d+)/revoke"', human.get("/keys").text)[0]
        done = human.send(f"/keys/{newest}/revoke")
        assert done.headers["location"] == "/keys?done=revoked"
        assert "Revoked" in human.get("/keys").text
        refused = human.get("/v1/whoami", headers={"Authorization": f"Bearer {second}"})
        assert refused.status_code == 401
    actions = [action for _, action, _ in audited(database)]
    assert actions == ["key.create", "key.rotate", "key.create", "key.revoke"]


def test_with_several_clusters_a_key_is_of_the_page_s_one_or_of_each(
    deps: AdminDeps, database: Engine
) -> None:
    """The form named none, so the first admin, who is of each, could make no key at all."""
    with database.begin() as connection:
        add_cluster(connection, "eu", NOW)
        of_each = create_key(connection, "the first", Role.ADMIN, NOW, cluster_id=None).token
    with Person(make_app(deps)) as human:
        human.log_in(of_each)
        page = human.get("/keys?cluster=eu").text
        (choice,) = re.findall(r'<select name="cluster".*?</select>', page, re.DOTALL)
        assert re.findall(r'value="([^"]*)"', choice) == ["default", "eu", "*"]
        assert re.findall(r'value="([^"]*)" selected', choice) == ["eu"]
        form = {"key_name": "grafana", "role": "viewer"}
        for chosen, expected in (({}, "eu"), ({"cluster": "default"}, "default")):
            made = human.send("/keys?cluster=eu", form | chosen)
            assert f"in the whole fleet of {expected}" in made.text
        made = human.send("/keys?cluster=eu", form | {"cluster": "*"})
        assert "in the whole fleet of every cluster" in made.text
        assert human.get("/keys?cluster=eu").text.count("<small>every cluster</small>") == 2
        wrong = human.send("/keys?cluster=eu", form | {"cluster": "mars"})
        assert "mars" in beside(wrong, "cluster")


def test_an_admin_of_one_cluster_has_none_to_choose(deps: AdminDeps, database: Engine) -> None:
    with database.begin() as connection:
        add_cluster(connection, "eu", NOW)
    with person(deps, Role.ADMIN) as human:
        assert 'name="cluster"' not in human.get("/keys").text
        form = {"key_name": "x", "role": "viewer"}
        assert human.send("/keys", form).status_code == 200
        assert human.send("/keys", form | {"cluster": "*"}).status_code == 403


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"key_name": ""}, "key_name", "must not be empty"),
        ({"role": "root"}, "role", "root: must be 'viewer'"),
        ({"namespaces": "Team A"}, "namespaces", "Team A: must match"),
        ({"namespaces": " , "}, "namespaces", ",: must name namespaces, or be empty for all"),
        ({"expires_at": "2020-01-01T00:00"}, "expires_at", "must be later than now"),
        ({"expires_at": "soon"}, "expires_at", "soon: must be a time"),
    ],
)
def test_a_key_that_cannot_be_is_said_beside_its_field(
    deps: AdminDeps, database: Engine, changes: dict[str, str], name: str, words: str
) -> None:
    with person(deps, Role.ADMIN) as human:
        form = {"key_name": "x", "role": "viewer"} | changes
        assert words in beside(human.send("/keys", form), name)
    assert audited(database) == []


def test_an_admin_of_a_namespace_makes_keys_for_it_alone(deps: AdminDeps) -> None:
    with person(deps, Role.ADMIN) as all_, person(deps, Role.ADMIN, ["llm-prod"]) as human:
        page = human.get("/keys").text
        assert "admin at work" in page
        assert "whole fleet" not in page
        form = {"key_name": "x", "role": "viewer"}
        assert human.send("/keys", form).status_code == 403
        assert human.send("/keys", form | {"namespaces": "diffusion"}).status_code == 403
        assert human.send("/keys", form | {"namespaces": "llm-prod"}).status_code == 200
        foreign = re.findall(r'action="/keys/(\d+)/revoke"', all_.get("/keys").text)[-1]
        assert human.send(f"/keys/{foreign}/revoke").status_code == 404
        assert human.send(f"/keys/{foreign}/rotate").status_code == 404
    for role in (Role.VIEWER, Role.APPROVER):
        with person(deps, role) as human:
            assert human.get("/keys").status_code == 403
            assert human.send("/keys", {"key_name": "x", "role": "viewer"}).status_code == 403
    with person(deps, Role.ADMIN) as human:
        evil = {"Origin": "http://evil.test"}
        assert human.post("/keys", data={"key_name": "x"}, headers=evil).status_code == 403
        assert human.post("/freezes", data={"scope": "*"}, headers=evil).status_code == 403
    assert BASE_URL not in evil.values()


def test_an_end_in_another_year_says_which(deps: AdminDeps) -> None:
    with person(deps, Role.ADMIN) as human:
        form = {"key_name": "grafana", "role": "viewer"}
        human.send("/keys", form | {"expires_at": "2026-02-01T00:00"})
        made = human.send("/keys", form | {"expires_at": "2028-02-01T00:00"})
        assert "until 1 Feb 2028 00:00 UTC" in made.text
        ends = re.findall(r"<td class=\"nowrap\">(1 Feb[^<]*)<", human.get("/keys").text)
        assert ends == ["1 Feb 2028 00:00", "1 Feb 00:00"]
