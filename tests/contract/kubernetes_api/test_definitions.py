"""Definitions of custom resources: endpoints, defaults, validation."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes_api.cluster_under_test import (
    DEFINITIONS,
    GROUP,
    MERGE,
    ClusterUnderTest,
    Obj,
    definition,
)


def test_01_a_definition_makes_its_endpoint_appear(gadgets: ClusterUnderTest) -> None:
    found = gadgets.do("GET", f"{DEFINITIONS}/gadgets.{GROUP}")
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    groups = gadgets.do("GET", "/apis")["groups"]
    assert GROUP in [group["name"] for group in groups]
    resources = gadgets.do("GET", f"/apis/{GROUP}/v1")["resources"]
    by_name = {resource["name"]: resource for resource in resources}
    assert by_name["gadgets"]["kind"] == "Gadget"
    assert by_name["gadgets"]["shortNames"] == ["gd"]
    assert {"get", "list", "watch", "patch"} <= set(by_name["gadgets"]["verbs"])
    assert {"gadgets/status", "gadgets/scale"} <= set(by_name)
    assert found["spec"]["names"]["singular"] == "gadget"


def test_01_deleting_a_definition_deletes_its_objects_and_endpoint(
    cluster: ClusterUnderTest,
) -> None:
    body = definition()
    body["metadata"]["name"] = f"widgets.{GROUP}"
    body["spec"]["names"] = {"plural": "widgets", "kind": "Widget"}
    cluster.do("POST", DEFINITIONS, body)
    path = f"/apis/{GROUP}/v1/namespaces/{cluster.namespace}/widgets"
    cluster.eventually(lambda: cluster.call("GET", path).status_code == 200)
    widget = {**cluster.gadget("one"), "kind": "Widget"}
    cluster.do("POST", path, widget)
    cluster.do("DELETE", f"{DEFINITIONS}/widgets.{GROUP}")
    cluster.eventually(lambda: cluster.call("GET", path).status_code == 404)


def test_03_defaults_are_filled_in_also_inside_lists(gadgets: ClusterUnderTest) -> None:
    body = gadgets.gadget(gadgets.name("g"), parts=[{"name": "a"}])
    made = gadgets.do("POST", gadgets.gadgets(), body)
    assert made["spec"]["mode"] == "Advisory"
    assert made["spec"]["floor"] == 0
    assert made["spec"]["parts"] == [{"name": "a", "weight": 1}]


@pytest.mark.parametrize(
    ("spec", "path", "said"),
    [
        ({"size": -1}, "spec.size", "should be greater than or equal to 0"),
        ({"size": 101}, "spec.size", "should be less than or equal to 100"),
        ({"size": "3"}, "spec.size", "must be of type integer"),
        ({"mode": "Off"}, "spec.mode", 'supported values: "Advisory", "Auto"'),
        ({"label": "ABC"}, "spec.label", "should match '^[a-z]+$'"),
        ({"parts": [{"weight": 2}]}, "spec.parts[0].name", "Required value"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]", "Duplicate value"),
        ({"floor": 9}, "spec", "floor must be at most size"),
        ({"share": 1}, "spec", "share must be below 1"),
    ],
)
def test_04_violations_answer_422_and_name_the_field(
    gadgets: ClusterUnderTest, spec: Obj, path: str, said: str
) -> None:
    if path == "spec" or "[0]." in path:  # rules, and indices in paths, are of newer servers
        gadgets.needs_rules()
    name = gadgets.name("g")
    status = gadgets.refuse(422, "POST", gadgets.gadgets(), gadgets.gadget(name, **spec))
    assert status["reason"] == "Invalid"
    assert status["message"].startswith(f'Gadget.{GROUP} "{name}" is invalid: ')
    assert said in status["message"]
    assert path in [cause["field"] for cause in status["details"]["causes"]]
    assert status["details"]["name"] == name
    gadgets.refuse(404, "GET", gadgets.gadgets(name))


def test_04_a_missing_required_field_is_named(gadgets: ClusterUnderTest) -> None:
    body = gadgets.gadget(gadgets.name("g"))
    del body["spec"]["size"]
    status = gadgets.refuse(422, "POST", gadgets.gadgets(), body)
    assert "spec.size: Required value" in status["message"]


def test_04_transition_rules_see_the_old_object(gadgets: ClusterUnderTest) -> None:
    gadgets.needs_rules()
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name, label="abc"))
    patch = {"spec": {"label": None}}
    status = gadgets.refuse(422, "PATCH", gadgets.gadgets(name), patch, media_type=MERGE)
    assert "label cannot be taken away" in status["message"]


def test_04_unknown_fields_are_dropped_or_refused_when_strict(gadgets: ClusterUnderTest) -> None:
    gadgets.needs_rules()
    body = gadgets.gadget(gadgets.name("g"), colour="red")
    response = gadgets.call("POST", gadgets.gadgets(), body)
    assert response.status_code == 201
    assert "colour" not in response.json()["spec"]
    assert "spec.colour" in response.headers["Warning"]
    body["metadata"]["name"] = gadgets.name("g")
    status = gadgets.refuse(400, "POST", gadgets.gadgets(), body, fieldValidation="Strict")
    assert 'unknown field "spec.colour"' in status["message"]


def test_04_a_definition_with_a_broken_rule_is_refused(cluster: ClusterUnderTest) -> None:
    cluster.needs_rules()
    body = definition()
    body["metadata"]["name"] = f"broken.{GROUP}"
    body["spec"]["names"] = {"plural": "broken", "kind": "Broken"}
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "self.size >"}]
    status = cluster.refuse(422, "POST", DEFINITIONS, body)
    assert "x-kubernetes-validations[0].rule" in status["message"]
