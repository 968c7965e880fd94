"""Bearer tokens, roles, and reviews of access."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.admission.access import ADMIN, Access, Question, account_user
from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SERVICE_ACCOUNTS,
    SUBJECT_ACCESS_REVIEWS,
    ResourceType,
)
from services.lab.cluster.storage.store import Store

RULE = {"verbs": ["get", "patch"], "apiGroups": ["apps"], "resources": ["deployments", "*/scale"]}
ACCOUNT = {"kind": "ServiceAccount", "namespace": "team", "name": "bot"}
BOT = account_user("team", "bot")


class World:
    """A store with accounts, roles and bindings."""

    def __init__(self) -> None:
        self.store = Store()
        self.access = Access(self.store, "admin-token")

    def put(self, rtype: ResourceType, name: str, namespace: str = "", **parts: Any) -> None:
        meta = {"name": name} | ({"namespace": namespace} if namespace else {})
        self.store.put(rtype, {"apiVersion": "v1", "kind": rtype.kind, "metadata": meta} | parts)

    def bind_in_namespace(self, rule: dict[str, Any]) -> None:
        self.put(ROLES, "r", "team", rules=[rule])
        reference = {"kind": "Role", "name": "r"}
        self.put(ROLE_BINDINGS, "b", "team", roleRef=reference, subjects=[ACCOUNT])


@pytest.fixture
def world() -> World:
    return World()


def asked(verb: str, resource: str, namespace: str = "team", **parts: str) -> Question:
    return Question(verb, "apps", resource, namespace=namespace, **parts)


def test_tokens_name_the_admin_or_an_account_that_exists(world: World) -> None:
    token = world.access.issue_token("team", "bot")
    assert world.access.identify("Bearer admin-token") == ADMIN
    for header in (None, f"Bearer {token}", "Bearer other"):
        with pytest.raises(ApiFailure) as failure:
            world.access.identify(header)
        assert failure.value.code == 401
    world.put(SERVICE_ACCOUNTS, "bot", "team")
    assert world.access.identify(f"Bearer {token}") == BOT
    assert Access(world.store, None).identify(None) == ADMIN


def test_a_role_allows_what_it_names_in_its_namespace(world: World) -> None:
    world.bind_in_namespace(RULE)
    allowed = world.access.is_allowed
    assert allowed(BOT, asked("get", "deployments"))
    assert allowed(BOT, asked("patch", "statefulsets", subresource="scale"))
    assert not allowed(BOT, asked("delete", "deployments"))
    assert not allowed(BOT, asked("get", "statefulsets"))
    assert not allowed(BOT, asked("get", "deployments", "other"))
    assert not allowed(BOT, Question("get", "batch", "deployments", namespace="team"))
    assert not allowed(account_user("team", "other"), asked("get", "deployments"))
    assert allowed(ADMIN, asked("delete", "deployments"))


def test_a_rule_may_name_single_objects(world: World) -> None:
    world.bind_in_namespace(RULE | {"resourceNames": ["mine"]})
    assert world.access.is_allowed(BOT, asked("get", "deployments", name="mine"))
    assert not world.access.is_allowed(BOT, asked("get", "deployments", name="yours"))


def test_a_cluster_role_binding_holds_everywhere_and_for_groups(world: World) -> None:
    world.put(CLUSTER_ROLES, "r", rules=[RULE])
    group = {"kind": "Group", "name": "system:serviceaccounts"}
    reference = {"kind": "ClusterRole", "name": "r"}
    world.put(CLUSTER_ROLE_BINDINGS, "b", roleRef=reference, subjects=[group])
    assert world.access.is_allowed(BOT, asked("get", "deployments", "anywhere"))
    assert world.access.is_allowed(BOT, asked("get", "deployments", ""))


def test_a_refusal_names_who_what_and_where(world: World) -> None:
    world.access.check(ADMIN, asked("get", "deployments"))
    with pytest.raises(ApiFailure) as failure:
        world.access.check(BOT, asked("patch", "deployments", subresource="scale"))
    assert failure.value.code == 403
    assert 'User "system:serviceaccount:team:bot" cannot patch' in failure.value.message
    assert 'resource "deployments/scale" in API group "apps"' in failure.value.message
    assert 'in the namespace "team"' in failure.value.message
    with pytest.raises(ApiFailure) as failure:
        world.access.check(BOT, asked("get", "deployments", ""))
    assert "at the cluster scope" in failure.value.message


def test_reviews_answer_as_the_checks_do(world: World) -> None:
    world.bind_in_namespace(RULE)
    attributes = {"verb": "get", "group": "apps", "resource": "deployments", "namespace": "team"}
    spec = {"user": "system:serviceaccount:team:bot", "resourceAttributes": attributes}
    review = world.access.review
    assert review(SUBJECT_ACCESS_REVIEWS, {"spec": spec}, ADMIN)["status"] == {"allowed": True}
    other = spec | {"user": "eve"}
    assert review(SUBJECT_ACCESS_REVIEWS, {"spec": other}, ADMIN)["status"] == {"allowed": False}
    own = {"spec": {"resourceAttributes": attributes | {"verb": "delete"}}}
    assert review(SELF_SUBJECT_ACCESS_REVIEWS, own, BOT)["status"] == {"allowed": False}
    assert review(SELF_SUBJECT_ACCESS_REVIEWS, {}, ADMIN)["status"] == {"allowed": True}
    who = review(SELF_SUBJECT_REVIEWS, {}, BOT)["status"]["userInfo"]
    assert who == {"username": BOT.name, "groups": list(BOT.groups)}


def test_own_rules_are_listed(world: World) -> None:
    world.bind_in_namespace(RULE)
    body = {"spec": {"namespace": "team"}}
    status = world.access.review(SELF_SUBJECT_RULES_REVIEWS, body, BOT)["status"]
    assert status["resourceRules"] == [RULE]
    status = world.access.review(SELF_SUBJECT_RULES_REVIEWS, body, ADMIN)["status"]
    assert status["resourceRules"][0]["verbs"] == ["*"]
