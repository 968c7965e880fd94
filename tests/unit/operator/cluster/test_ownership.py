"""Pods belong to whatever their chain of owners leads to, and to nobody by label alone."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.ownership import (
    Links,
    OwnedPod,
    Owner,
    controller_of,
    index,
    parse_selector,
)
from tests.unit.operator.pods import pod


def owned(kind: str, owner: str, **metadata: Any) -> dict[str, Any]:
    reference = {"kind": kind, "uid": owner, "controller": True}
    return {"metadata": {"uid": "me", "ownerReferences": [reference]} | metadata}


def test_only_the_controller_owns() -> None:
    other = {"kind": "Node", "uid": "n1"}
    resource = owned("ReplicaSet", "rs1")
    resource["metadata"]["ownerReferences"].insert(0, other)
    assert controller_of(resource) == Owner("ReplicaSet", "rs1")
    assert controller_of({"metadata": {}}) is None


def test_what_is_not_known_yet_is_asked_for_by_kind() -> None:
    owner = Owner("ReplicaSet", "rs1")
    kinds = ("ReplicaSet", "Deployment")
    assert Links({}).unknown([owner], kinds) == {"ReplicaSet"}
    by_uid: dict[str, Owner | None] = {"rs1": Owner("Deployment", "d1")}
    assert Links(by_uid).unknown([owner], kinds) == {"Deployment"}
    assert Links(by_uid | {"d1": None}).unknown([owner], kinds) == set()


def test_every_owner_in_the_chain_has_the_pod() -> None:
    links = Links({"rs1": Owner("Deployment", "d1"), "d1": Owner("Pool", "p1")})
    found = index([OwnedPod(pod("a"), Owner("ReplicaSet", "rs1"))], links)
    for uid in ("rs1", "d1", "p1"):
        assert [p.name for p in found.owned_by(uid)] == ["a"]
    assert found.owned_by("other") == []


def test_workers_of_a_group_belong_to_what_owns_their_leader() -> None:
    links = Links({"workers": Owner("Pod", "leader"), "leaders": Owner("LeaderWorkerSet", "lws")})
    given = [
        OwnedPod(pod("leader"), Owner("StatefulSet", "leaders")),
        OwnedPod(pod("worker"), Owner("StatefulSet", "workers")),
    ]
    assert [p.name for p in index(given, links).owned_by("lws")] == ["leader", "worker"]


def test_a_circle_of_owners_ends() -> None:
    links = Links({"a": Owner("X", "b"), "b": Owner("X", "a")})
    assert index([OwnedPod(pod("p"), Owner("X", "a"))], links).owned_by("b")


def test_labels_tell_only_where_the_owner_cannot_be_looked_up() -> None:
    app = {"labels": {"app": "x"}}
    given = [
        OwnedPod(pod("theirs", **app), Owner("Job", "job")),
        OwnedPod(pod("nobodys", **app), None),
        OwnedPod(pod("of-a-deployment", **app), Owner("ReplicaSet", "rs1")),
        OwnedPod(pod("elsewhere", namespace="other", **app), Owner("Job", "job")),
        OwnedPod(pod("unlike", labels={"app": "y"}), Owner("Job", "job")),
    ]
    links = Links({"rs1": Owner("Deployment", "d1")})
    assert [p.name for p in index(given, links).selected("serving", "app=x")] == ["theirs"]


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("app=x", True),
        ("app==x, tier in (a, b)", True),
        ("app=x,tier=c", False),
        ("tier notin (c),!old", True),
        ("!app", False),
        ("app", True),
        ("app!=x", False),
        ("missing!=x", True),
        ("", False),
        ("app=x,((", False),
        ("example.dev/name=a.b-c", False),
    ],
)
def test_selectors(selector: str, matches: bool) -> None:
    assert parse_selector(selector)({"app": "x", "tier": "a"}) is matches
