"""The verbs: what each does with the cluster, and what it answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.lab.cluster.admission.access import User, account_user
from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.objects import APPLY
from services.lab.cluster.storage.resources import (
    BUILT_IN,
    DEPLOYMENTS,
    PODS,
    SELF_SUBJECT_REVIEWS,
    SERVICE_ACCOUNTS,
    Obj,
    ResourceType,
)
from services.lab.cluster.wire.handling import Body, Handling, Reply
from services.lab.cluster.wire.routes import ApiCall
from tests.contract.kubernetes_api.cluster_under_test import GROUP, definition
from tests.unit.lab.cluster.running_cluster import NAMESPACE, RunningCluster, workload

CONFIG_MAPS = next(rtype for rtype in BUILT_IN if rtype.plural == "configmaps")
JSON = "application/json"
MERGE = "application/merge-patch+json"
ITEM_VERBS = ("get", "update", "patch", "delete")


class Server(RunningCluster):
    """A cluster whose handling is asked directly."""

    def __init__(self) -> None:
        super().__init__()
        self.handling = Handling(self.cluster)

    def call(
        self, verb: str, rtype: ResourceType, name: str = "", sub: str = "", **query: str
    ) -> ApiCall:
        namespace = NAMESPACE if rtype.is_namespaced else ""
        return ApiCall(rtype, verb, namespace, name, sub, query)

    def answer(
        self, call: ApiCall, body: Any = None, media: str = JSON, agent: str = "kubectl/1.33"
    ) -> Reply:
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return self.handling.answer(call, Body(raw, media), User("us", ("staff",)), agent)

    def ask(self, call: ApiCall, body: Any = None, media: str = JSON) -> Obj:
        found: Obj = orjson.loads(self.answer(call, body, media).raw)
        return found

    def refuses(self, code: int, call: ApiCall, body: Any = None, media: str = JSON) -> str:
        with pytest.raises(ApiFailure) as failure:
            self.answer(call, body, media)
        assert failure.value.code == code
        return failure.value.message

    def put(self, name: str, **parts: Any) -> Obj:
        body = {"metadata": {"name": name, **parts.pop("metadata", {})}, **parts}
        return self.ask(self.call("create", CONFIG_MAPS), body)

    def names(self, **query: str) -> list[str]:
        found = self.ask(self.call("list", CONFIG_MAPS, **query))
        return [item["metadata"]["name"] for item in found["items"]]


@pytest.fixture
def server() -> Server:
    return Server()


# -- bodies ----------------------------------------------------------------------------------------


def test_bodies_are_read_as_their_media_type_says() -> None:
    assert Body(b'{"a": 1}', JSON).object() == {"a": 1}
    assert Body(b"a: 1", APPLY).object() == {"a": 1}


@pytest.mark.parametrize(
    "body", [Body(b"{", JSON), Body(b"a: 1", JSON), Body(b"a: [", APPLY), Body(b"[1]", JSON)]
)
def test_bodies_that_are_no_objects_are_bad_requests(body: Body) -> None:
    with pytest.raises(ApiFailure) as failure:
        body.object()
    assert failure.value.code == 400


# -- single objects --------------------------------------------------------------------------------


def test_an_object_is_created_read_changed_and_deleted(server: Server) -> None:
    body = {"metadata": {"name": "x"}, "data": {"a": "1"}}
    created = server.answer(server.call("create", CONFIG_MAPS), body)
    assert created.code == 201
    made = orjson.loads(created.raw)
    (entry,) = made["metadata"]["managedFields"]
    assert entry["manager"] == "kubectl"
    assert server.ask(server.call("get", CONFIG_MAPS, "x")) == made

    changed = server.answer(server.call("update", CONFIG_MAPS, "x"), {**made, "data": {"a": "2"}})
    assert changed.code == 200
    patched = server.ask(server.call("patch", CONFIG_MAPS, "x"), {"data": {"b": "3"}}, MERGE)
    assert patched["data"] == {"a": "2", "b": "3"}
    gone = server.ask(server.call("delete", CONFIG_MAPS, "x"))
    assert (gone["kind"], gone["status"]) == ("Status", "Success")
    details = {"name": "x", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert gone["details"] == details
    for verb in ITEM_VERBS:
        server.refuses(404, server.call(verb, CONFIG_MAPS, "x"), {})


def test_the_manager_is_who_the_client_says_it_is(server: Server) -> None:
    def manager(name: str, agent: str, **query: str) -> str:
        body = {"metadata": {"name": name}, "data": {"a": "1"}}
        reply = server.answer(server.call("create", CONFIG_MAPS, **query), body, agent=agent)
        (entry,) = orjson.loads(reply.raw)["metadata"]["managedFields"]
        return str(entry["manager"])

    assert manager("x", "kubectl/1.33", fieldManager="robot") == "robot"
    assert manager("y", "kubectl/1.33") == "kubectl"
    assert manager("z", "") == "unknown"


def test_a_dry_run_is_answered_and_forgotten(server: Server) -> None:
    body = {"metadata": {"name": "x"}}
    assert server.ask(server.call("create", CONFIG_MAPS, dryRun="All"), body)["metadata"]["uid"]
    assert server.names() == []
    server.put("x")
    server.ask(server.call("delete", CONFIG_MAPS, "x", dryRun="All"))
    server.ask(server.call("delete", CONFIG_MAPS, "x"), {"dryRun": ["All"]})
    assert server.names() == ["x"]


def test_a_deletion_that_waits_answers_with_the_object(server: Server) -> None:
    server.put("x", metadata={"finalizers": ["lab.dev/hold"]})
    found = server.ask(server.call("delete", CONFIG_MAPS, "x"))
    assert (found["kind"], found["metadata"]["name"]) == ("ConfigMap", "x")
    assert found["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize("is_in_body", [True, False])
def test_the_propagation_policy_comes_in_the_body_or_the_query(
    server: Server, is_in_body: bool
) -> None:
    server.create(DEPLOYMENTS, "x", workload(2))
    option = {"propagationPolicy": "Orphan"}
    if is_in_body:
        found = server.ask(server.call("delete", DEPLOYMENTS, "x"), option)
    else:
        found = server.ask(server.call("delete", DEPLOYMENTS, "x", **option))
    assert found["details"]["group"] == "apps"
    assert len(server.pods()) == 2


def test_applying_needs_a_manager_and_says_whether_it_created(server: Server) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\ndata: {a: '1'}\n"
    nobody = server.call("patch", CONFIG_MAPS, "x")
    assert "fieldManager" in server.refuses(422, nobody, text, APPLY)
    call = server.call("patch", CONFIG_MAPS, "x", fieldManager="us")
    assert [server.answer(call, text, APPLY).code for _ in range(2)] == [201, 200]
    other = server.call("patch", CONFIG_MAPS, "x", fieldManager="them")
    text = text.replace(b"1'", b"2'")
    server.refuses(409, other, text, APPLY)
    forced = server.call("patch", CONFIG_MAPS, "x", fieldManager="them", force="true")
    assert server.ask(forced, text, APPLY)["data"] == {"a": "2"}


def test_a_scale_is_read_and_written_as_a_scale(server: Server) -> None:
    server.create(DEPLOYMENTS, "x", workload(2))
    call = server.call("get", DEPLOYMENTS, "x", "scale")
    found = server.ask(call)
    assert (found["kind"], found["spec"]) == ("Scale", {"replicas": 2})
    patch = server.call("patch", DEPLOYMENTS, "x", "scale", fieldManager="us")
    written = server.ask(patch, {"spec": {"replicas": 3}}, MERGE)
    assert (written["kind"], written["spec"]) == ("Scale", {"replicas": 3})
    assert server.get(DEPLOYMENTS, "x")["spec"]["replicas"] == 3
    server.refuses(415, patch, {"spec": {"replicas": 4}}, APPLY)


def test_warnings_about_unknown_fields_are_in_the_answer(server: Server) -> None:
    gadgets = server.define(definition())
    body = {"metadata": {"name": "x"}, "spec": {"size": 3, "colour": "red"}}
    reply = server.answer(server.call("create", gadgets), body)
    assert reply.warnings == ('unknown field "spec.colour"',)
    strict = server.call("create", gadgets, fieldValidation="Strict")
    server.refuses(400, strict, {**body, "metadata": {"name": "y"}})


def test_objects_are_shown_in_the_version_that_is_asked_for(server: Server) -> None:
    body = definition()
    first = body["spec"]["versions"][0]
    body["spec"]["versions"].append({**first, "name": "v2", "storage": False})
    gadgets = server.define(body)
    server.create(gadgets, "x", {"size": 3})
    newer = server.cluster.registry.find(GROUP, "v2", "gadgets")
    assert newer is not None
    assert server.ask(server.call("get", newer, "x"))["apiVersion"] == f"{GROUP}/v2"
    found = server.ask(server.call("list", newer))
    assert {found["apiVersion"], found["items"][0]["apiVersion"]} == {f"{GROUP}/v2"}
    assert server.ask(server.call("get", gadgets, "x"))["apiVersion"] == f"{GROUP}/v1"


# -- lists -----------------------------------------------------------------------------------------


def test_a_list_is_ordered_selected_and_dated(server: Server) -> None:
    for name, app in (("c", "x"), ("a", "x"), ("b", "y")):
        server.put(name, metadata={"labels": {"app": app}})
    found = server.ask(server.call("list", CONFIG_MAPS))
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert found["metadata"] == {"resourceVersion": str(server.store.version)}
    assert server.names() == ["a", "b", "c"]
    assert server.names(labelSelector="app=x") == ["a", "c"]
    assert server.names(fieldSelector="metadata.name=b") == ["b"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7])
def test_pages_together_are_the_whole_list_of_one_version(server: Server, limit: int) -> None:
    for n in range(5):
        server.put(f"x{n}")
    version = str(server.store.version)
    found: list[str] = []
    token = ""
    while True:
        query = {"limit": str(limit), "continue": token}
        page = server.ask(server.call("list", CONFIG_MAPS, **query))
        found += [item["metadata"]["name"] for item in page["items"]]
        assert len(page["items"]) <= limit
        assert page["metadata"]["resourceVersion"] == version
        assert page["metadata"].get("remainingItemCount", 0) == 5 - len(found)
        server.put(f"w{len(found)}")
        if not (token := page["metadata"].get("continue", "")):
            break
    assert found == [f"x{n}" for n in range(5)]


def test_a_token_that_is_not_ours_is_a_bad_request(server: Server) -> None:
    call = server.call("list", CONFIG_MAPS, **{"continue": "bm8="})
    assert "continue key" in server.refuses(400, call)


def test_a_collection_is_deleted_as_far_as_it_is_selected(server: Server) -> None:
    for name, app in (("a", "x"), ("b", "y"), ("c", "x")):
        server.put(name, metadata={"labels": {"app": app}})
    found = server.ask(server.call("deletecollection", CONFIG_MAPS, labelSelector="app=x"))
    assert found["kind"] == "ConfigMapList"
    assert [item["metadata"]["name"] for item in found["items"]] == ["a", "c"]
    assert found["metadata"]["resourceVersion"] == str(server.store.version)
    assert server.names() == ["b"]


def test_tables_have_a_row_for_each_object(server: Server) -> None:
    server.put("x", data={"a": "1"})
    call = server.call("list", CONFIG_MAPS)
    table = orjson.loads(server.handling.as_table(call, server.answer(call)).raw)
    assert table["kind"] == "Table"
    assert [row["object"]["metadata"]["name"] for row in table["rows"]] == ["x"]
    assert table["metadata"]["resourceVersion"] == str(server.store.version)
    call = server.call("get", CONFIG_MAPS, "x")
    table = orjson.loads(server.handling.as_table(call, server.answer(call)).raw)
    assert table["columnDefinitions"][0]["name"] == "Name"
    assert [row["cells"][0] for row in table["rows"]] == ["x"]


# -- what is no object -----------------------------------------------------------------------------


def test_a_token_stands_for_its_service_account(server: Server) -> None:
    call = server.call("create", SERVICE_ACCOUNTS, "bot", "token")
    server.refuses(404, call, {})
    server.create(SERVICE_ACCOUNTS, "bot", {})
    reply = server.answer(call, {})
    assert reply.code == 201
    found = orjson.loads(reply.raw)
    assert found["kind"] == "TokenRequest"
    user = server.cluster.access.identify(f"Bearer {found['status']['token']}")
    assert user == account_user(NAMESPACE, "bot")


def test_a_pod_is_evicted_and_its_deletion_answers_with_the_pod(server: Server) -> None:
    server.create(DEPLOYMENTS, "x", workload(2))
    evicted, deleted = server.pods()
    reply = server.answer(server.call("create", PODS, evicted, "eviction"))
    assert (reply.code, orjson.loads(reply.raw)["status"]) == (201, "Success")
    assert server.ask(server.call("delete", PODS, deleted))["metadata"]["name"] == deleted
    assert not {evicted, deleted} & set(server.pods())
    server.refuses(404, server.call("create", PODS, evicted, "eviction"))


def test_a_user_learns_who_it_is(server: Server) -> None:
    reply = server.answer(server.call("create", SELF_SUBJECT_REVIEWS), {})
    assert reply.code == 201
    user = orjson.loads(reply.raw)["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("us", ["staff"])
