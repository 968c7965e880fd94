"""What the chart holds of other files is what those say; `HARMONY_UPDATE_GOLDEN=1` writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kernel.settings import Settings
from services.operator.resource.fields import GROUP
from services.operator.resource.rights import RIGHTS
from tests.unit.deploy.chart import (
    CHART,
    FIXED,
    REPO,
    free_settings,
    generated,
    hold_equal,
    named,
    of_kind,
    pod_specs,
    render,
    with_settings,
)


def made() -> list[Path]:
    return list(generated())


@pytest.mark.parametrize("path", made(), ids=lambda path: path.relative_to(CHART).as_posix())
def test_the_file_is_what_its_source_says(path: Path) -> None:
    hold_equal(path, generated()[path])


def test_no_copy_is_left_of_a_source_that_is_gone() -> None:
    for folder in ("dashboards", "rules"):
        kept = {path for path in (CHART / folder).iterdir() if path.name[0] != "."}
        assert kept == {path for path in generated() if path.parent.name == folder}


def test_every_setting_is_free_or_fixed() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["settings"]
    assert set(values) | set(FIXED) == set(Settings.model_fields)
    assert set(values) & set(FIXED) == set()
    for name, default in free_settings().items():
        assert type(values[name]) is type(default), name
        assert values[name] == default, name


def environment(values: dict[str, Any]) -> dict[str, Any]:
    """Settings as pods of the chart read them from the ConfigMap."""
    found: dict[str, str] = named(render(values), "ConfigMap", "harmony-settings")["data"]
    return {key.removeprefix("HARMONY_").lower(): value for key, value in found.items()}


def test_a_pod_reads_the_defaults() -> None:
    """Helm reads numbers as floats; what arrives must be the same number."""
    read = Settings(_env_file=None, **environment({}))  # type: ignore[call-arg]  # pydantic-settings
    for name, default in free_settings().items():
        assert getattr(read, name) == default, name


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("push_max_bytes", 2_000_000_000, "2000000000"),
        ("step_s", 300, "300"),
        ("drift_refit_share", 0.125, "0.125"),
        ("prometheus_url", "http://p:9090", "http://p:9090"),
        ("operator_deletion_cost", True, "true"),
    ],
)
def test_a_pod_reads_what_is_set(name: str, value: Any, text: str) -> None:
    assert environment({"settings": {name: value}})[name] == text


def test_fixed_settings_are_what_the_pods_have() -> None:
    text = "".join(
        path.read_text() for path in (CHART / "templates").iterdir() if path.suffix == ".yaml"
    )
    text += (CHART / "templates" / "_pod.tpl").read_text()
    set_there = {name.lower() for name in re.findall(r"HARMONY_([A-Z_]+[A-Z])\b", text)}
    set_there |= {name.removesuffix("_file") for name in set_there}  # a secret in a file
    unset = {"home", "queues", "kube_url"}  # the default, or the command line
    assert set(FIXED) - unset == set_there & set(FIXED)


def test_a_pod_with_a_port_listens_for_others() -> None:
    """Of one that listened on its own loopback, probes would fail and metrics be missing."""
    manifests = render({"scaler": {"enabled": True}})
    settings = named(manifests, "ConfigMap", "harmony-settings")
    assert settings["data"]["HARMONY_HOST"] == "0.0.0.0"
    ours = {
        f"{label}/{container['name']}": container
        for label, spec in pod_specs(manifests).items()
        for container in spec["containers"]
        if any(each["name"].startswith("HARMONY_") for each in container.get("env", ()))
        and container.get("ports")
    }
    assert len(ours) >= 9
    for name, container in ours.items():
        (source,) = container["envFrom"]
        assert source["configMapRef"]["name"] == settings["metadata"]["name"], name
        assert "HARMONY_HOST" not in {each["name"] for each in container["env"]}, name


def test_a_new_setting_finds_its_place() -> None:
    values = (CHART / "values.yaml").read_text()
    cut = values.replace("  step_s: 60\n", "")
    assert cut != values
    assert with_settings(cut) == values


def test_the_role_holds_the_rights_of_the_operator() -> None:
    role = named(render(), "ClusterRole", "harmony-system-harmony-operator")
    rules = [right.to_manifest() for right in RIGHTS]
    assert [rule for rule in rules if rule not in role["rules"]] == []
    for rule in role["rules"]:
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        writes = set(rule["verbs"]) - {"get", "list", "watch"}
        assert not writes or all(
            "/" in resource or resource in {"events", "pods"} for resource in rule["resources"]
        ), rule
        assert "secrets" not in rule["resources"]
    assert not any("pods" in r["resources"] and "patch" in r["verbs"] for r in role["rules"])
    marking = render({"settings": {"operator_deletion_cost": True}})
    rules = named(marking, "ClusterRole", "harmony-system-harmony-operator")["rules"]
    assert {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]} in rules


def test_what_adds_nodes_may_be_read_where_that_is_on() -> None:
    name = "harmony-system-harmony-operator"
    off = named(render(), "ClusterRole", name)["rules"]
    assert not any(r["apiGroups"] == ["karpenter.sh"] for r in off)
    assert not any("configmaps" in r["resources"] for r in off)
    on = named(render({"settings": {"operator_supply": True}}), "ClusterRole", name)["rules"]
    (status,) = (r for r in on if "configmaps" in r["resources"])
    assert (status["resourceNames"], status["verbs"]) == (["cluster-autoscaler-status"], ["get"])
    (pools,) = (r for r in on if r["apiGroups"] == ["karpenter.sh"])
    assert (pools["resources"], pools["verbs"]) == (["nodepools", "nodeclaims"], ["list", "watch"])
    assert not any("events" in r["resources"] and "list" in r["verbs"] for r in on)


def test_events_of_node_claims_may_be_read_where_what_adds_nodes_is() -> None:
    """Those about objects without a namespace are in the namespace `default`."""
    name = "harmony-system-harmony-operator-supply"
    assert not [role for role in of_kind(render(), "Role") if role["metadata"]["name"] == name]
    on = render({"settings": {"operator_supply": True}})
    role, binding = named(on, "Role", name), named(on, "RoleBinding", name)
    assert {role["metadata"]["namespace"], binding["metadata"]["namespace"]} == {"default"}
    assert role["rules"] == [{"apiGroups": [""], "resources": ["events"], "verbs": ["list"]}]
    (subject,) = binding["subjects"]
    assert subject["namespace"] == "harmony-system"


def test_queues_may_be_read_where_that_is_on() -> None:
    name = "harmony-system-harmony-operator"
    off = named(render(), "ClusterRole", name)["rules"]
    assert not any(r["apiGroups"] == ["kueue.x-k8s.io"] for r in off)
    on = named(render({"settings": {"operator_kueue": True}}), "ClusterRole", name)["rules"]
    (queues,) = (r for r in on if r["apiGroups"] == ["kueue.x-k8s.io"])
    assert queues["resources"] == ["localqueues", "clusterqueues", "resourceflavors"]
    assert queues["verbs"] == ["list", "watch"]


def test_devices_may_be_read_where_that_is_on() -> None:
    name = "harmony-system-harmony-operator"
    off = named(render(), "ClusterRole", name)["rules"]
    assert not any(r["apiGroups"] == ["resource.k8s.io"] for r in off)
    on = named(render({"settings": {"operator_dra": True}}), "ClusterRole", name)["rules"]
    (devices,) = (r for r in on if r["apiGroups"] == ["resource.k8s.io"])
    kinds = ["deviceclasses", "resourceslices", "resourceclaims", "resourceclaimtemplates"]
    assert (devices["resources"], devices["verbs"]) == (kinds, ["list", "watch"])


def test_headroom_may_be_held_in_the_own_namespace_where_that_is_on() -> None:
    def rules(**settings: bool) -> list[dict[str, list[str]]]:
        role = named(render({"settings": settings}), "Role", "harmony-operator")
        assert role["metadata"]["namespace"] == "harmony-system"
        return [r for r in role["rules"] if r["resources"] != ["leases"]]

    assert rules() == []
    buffers, templates = rules(operator_headroom=True)
    assert buffers == {
        "apiGroups": ["autoscaling.x-k8s.io"],
        "resources": ["capacitybuffers"],
        "verbs": ["list", "create", "patch", "delete"],
    }
    assert templates == {
        "apiGroups": [""], "resources": ["podtemplates"], "verbs": ["create", "delete"],
    }  # fmt: skip


def test_the_role_follows_the_kinds_to_scale() -> None:
    kinds = [{"apiGroup": "example.com", "resource": "servers"}]
    rules = named(
        render({"operator": {"scaleTargets": kinds}}),
        "ClusterRole",
        "harmony-system-harmony-operator",
    )["rules"]
    reads = {"apiGroups": ["example.com"], "resources": ["servers"], "verbs": ["list", "watch"]}
    assert reads in rules
    scale = {
        "apiGroups": ["example.com"],
        "resources": ["servers/scale"],
        "verbs": ["get", "patch"],
    }
    assert scale in rules


def test_the_hook_may_touch_the_definitions_of_the_chart_only() -> None:
    role = named(render(), "ClusterRole", "harmony-system-harmony-crds")
    named_ones = {name for rule in role["rules"] for name in rule.get("resourceNames", [])}
    there = {yaml.safe_load(p.read_text())["metadata"]["name"] for p in (CHART / "crds").iterdir()}
    assert named_ones == there
    assert all(name.endswith(GROUP) for name in there)
    assert of_kind(render({"crds": {"upgrade": False}}), "ClusterRole") == [
        named(render(), "ClusterRole", "harmony-system-harmony-operator")
    ]


def test_the_readme_of_the_chart_names_every_section() -> None:
    text = (REPO / "docs" / "helm.md").read_text()
    for section in yaml.safe_load((CHART / "values.yaml").read_text()):
        assert f"`{section}" in text, section
