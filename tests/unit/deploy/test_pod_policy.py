"""What the operator may change of a pod where the cluster holds requests to rules."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import celpy
import helm_python
import pytest
import yaml
from celpy.adapter import json_to_cel

from tests.unit.deploy.chart import CHART, Manifest, named, of_kind, render

ON = {"settings": {"operator_deletion_cost": True}}
ASKED = (
    '(.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")'
)
NAME = "harmony-system-harmony-operator-pods"
COST = "controller.kubernetes.io/pod-deletion-cost"
MARK = "scaling.harmony.dev/deletion-cost"
POD: dict[str, Any] = {
    "metadata": {
        "name": "llama-0",
        "labels": {"app": "llama"},
        "annotations": {"team": "ml"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "llama"}],
    },
    "spec": {"containers": [{"name": "llama", "image": "llama:1"}]},
}


def render_where_served(folder: Path, values: dict[str, Any]) -> list[Manifest]:
    """The policy and its binding as a cluster that serves the kind gets them.

    What renders here has no cluster to ask, so the chart's question is answered in a copy of it.
    """
    shutil.copytree(CHART, folder / "chart")
    path = folder / "chart" / "templates" / "podpolicy.yaml"
    text = path.read_text()
    assert text.count(ASKED) == 1
    path.write_text(text.replace(ASKED, "true"))
    with helm_python.Chart.load(folder / "chart") as chart:
        files = chart.render(values, name="harmony", namespace="harmony-system", is_install=True)
    (policy,) = (text for name, text in files.items() if name.endswith("podpolicy.yaml"))
    return [document for document in yaml.safe_load_all(policy) if document]


@pytest.fixture
def policy(tmp_path: Path) -> Manifest:
    return named(render_where_served(tmp_path, ON), "ValidatingAdmissionPolicy", NAME)


def evaluate(expression: str, given: dict[str, Any]) -> Any:
    environment = celpy.Environment()
    program = environment.program(environment.compile(expression))
    return program.evaluate({name: json_to_cel(value) for name, value in given.items()})


def is_allowed(policy: Manifest, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Every validation of the policy holds."""
    given: dict[str, Any] = {"oldObject": before, "object": after}
    variables = {
        one["name"]: evaluate(one["expression"], given) for one in policy["spec"]["variables"]
    }
    environment = celpy.Environment()
    for one in policy["spec"]["validations"]:
        program = environment.program(environment.compile(one["expression"]))
        values = {name: json_to_cel(value) for name, value in given.items()}
        if not program.evaluate(values | {"variables": celpy.celtypes.MapType(variables)}):
            return False
    return True


def changed(**metadata: Any) -> dict[str, Any]:
    """The pod with other metadata; None takes a field away."""
    pod = copy.deepcopy(POD)
    for name, value in metadata.items():
        pod["metadata"][name] = value
        if value is None:
            del pod["metadata"][name]
    return pod


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (POD, changed(annotations={"team": "ml", COST: "-1", MARK: "-1"})),
        (changed(annotations={"team": "ml", COST: "-1", MARK: "-1"}), POD),
        (changed(annotations=None), changed(annotations={COST: "-1", MARK: "-1"})),
        (changed(annotations={COST: "-1"}), changed(annotations=None)),
        (changed(labels=None), changed(labels=None, resourceVersion="2", managedFields=[{}])),
    ],
)
def test_the_deletion_cost_may_change(
    policy: Manifest, before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert is_allowed(policy, before, after)


def other_image() -> dict[str, Any]:
    pod = changed(annotations={"team": "ml", COST: "-1"})
    pod["spec"]["containers"][0]["image"] = "miner:1"
    return pod


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (POD, other_image()),
        (POD, changed(labels={"app": "other"})),
        (POD, changed(labels=None)),
        (changed(labels=None), POD),
        (POD, changed(finalizers=["mine"])),
        (POD, changed(ownerReferences=[])),
        (POD, changed(annotations={"team": "other"})),
        (POD, changed(annotations={"team": "ml", "other": "1"})),
        (POD, changed(annotations={COST: "-1"})),
        (POD, changed(annotations=None)),
    ],
)
def test_nothing_else_may(policy: Manifest, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert not is_allowed(policy, before, after)


def test_it_is_for_the_operator_alone_and_refuses(tmp_path: Path) -> None:
    values = ON | {"serviceAccounts": {"create": False, "names": {"operator": "mine"}}}
    manifests = render_where_served(tmp_path, values)
    policy = named(manifests, "ValidatingAdmissionPolicy", NAME)
    (condition,) = policy["spec"]["matchConditions"]
    for name, is_meant in (("mine", True), ("other", False)):
        user = {"username": f"system:serviceaccount:harmony-system:{name}"}
        assert evaluate(condition["expression"], {"request": {"userInfo": user}}) == is_meant
    assert policy["spec"]["failurePolicy"] == "Fail"
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["UPDATE"], ["pods", "pods/*"])
    binding = named(manifests, "ValidatingAdmissionPolicyBinding", NAME)
    assert binding["spec"] == {"policyName": NAME, "validationActions": ["Deny"]}


def test_there_is_none_without_the_right(tmp_path: Path) -> None:
    assert render_where_served(tmp_path, {}) == []
    assert of_kind(render(ON), "ValidatingAdmissionPolicy") == []
