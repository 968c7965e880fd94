"""Discovery: what clients learn about groups, versions and resources."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.storage.resources import BUILT_IN, Registry, ResourceType, ScalePaths
from services.lab.cluster.wire.discovery import core_versions, group, groups, resources


def registry(*more: ResourceType) -> Registry:
    found = Registry()
    for rtype in more:
        found.add(rtype)
    return found


def gadget(version: str = "v1", **more: Any) -> ResourceType:
    return ResourceType("lab.dev", version, "gadgets", "Gadget", is_custom=True, **more)


def entries(of: Registry, group_name: str, version: str = "v1") -> dict[str, dict[str, Any]]:
    found = resources(of, group_name, version)
    assert found is not None
    assert found["kind"] == "APIResourceList"
    assert found["groupVersion"] == (f"{group_name}/{version}" if group_name else version)
    return {entry["name"]: entry for entry in found["resources"]}


def test_the_core_group_has_one_version_at_the_servers_address() -> None:
    found = core_versions("127.0.0.1:80")
    assert (found["kind"], found["versions"]) == ("APIVersions", ["v1"])
    (place,) = found["serverAddressByClientCIDRs"]
    assert place == {"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:80"}


def test_each_group_is_listed_once_and_the_core_group_is_none_of_them() -> None:
    found = groups(registry(gadget("v1"), gadget("v2")))
    assert found["kind"] == "APIGroupList"
    names = [each["name"] for each in found["groups"]]
    assert sorted(names) == sorted({t.group for t in BUILT_IN if t.group} | {"lab.dev"})


def test_a_groups_first_version_is_preferred() -> None:
    assert group(registry(gadget("v2"), gadget("v1")), "lab.dev") == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "lab.dev",
        "versions": [
            {"groupVersion": "lab.dev/v2", "version": "v2"},
            {"groupVersion": "lab.dev/v1", "version": "v1"},
        ],
        "preferredVersion": {"groupVersion": "lab.dev/v2", "version": "v2"},
    }


def test_what_is_not_served_is_none() -> None:
    assert group(registry(), "lab.dev") is None
    assert resources(registry(gadget()), "lab.dev", "v2") is None
    assert resources(registry(gadget()), "other.dev", "v1") is None


def test_a_resource_tells_its_names_verbs_and_subresources() -> None:
    full = gadget(
        short_names=("gd",), categories=("all",), has_status=True, scale=ScalePaths("spec.size")
    )
    found = entries(registry(full), "lab.dev")
    assert [*found] == ["gadgets", "gadgets/status", "gadgets/scale"]
    assert found["gadgets"] == {
        "name": "gadgets",
        "singularName": "gadget",
        "namespaced": True,
        "kind": "Gadget",
        "verbs": list(full.verbs),
        "shortNames": ["gd"],
        "categories": ["all"],
    }
    part = {"singularName": "", "namespaced": True, "verbs": ["get", "patch", "update"]}
    assert found["gadgets/status"] == {"name": "gadgets/status", "kind": "Gadget", **part}
    scale = {"kind": "Scale", "group": "autoscaling", "version": "v1"}
    assert found["gadgets/scale"] == {"name": "gadgets/scale", **scale, **part}


def test_a_bare_resource_tells_nothing_that_it_has_not() -> None:
    bare = gadget(singular="thing", is_namespaced=False)
    assert entries(registry(bare), "lab.dev") == {
        "gadgets": {
            "name": "gadgets",
            "singularName": "thing",
            "namespaced": False,
            "kind": "Gadget",
            "verbs": list(bare.verbs),
        }
    }


def test_only_core_pods_and_service_accounts_can_be_evicted_and_issued_tokens() -> None:
    core = entries(registry(), "")
    named = {name: entry for name, entry in core.items() if entry["verbs"] == ["create"]}
    assert named == {
        "pods/eviction": {
            "name": "pods/eviction",
            "singularName": "",
            "namespaced": True,
            "kind": "Eviction",
            "group": "policy",
            "version": "v1",
            "verbs": ["create"],
        },
        "serviceaccounts/token": {
            "name": "serviceaccounts/token",
            "singularName": "",
            "namespaced": True,
            "kind": "TokenRequest",
            "group": "authentication.k8s.io",
            "version": "v1",
            "verbs": ["create"],
        },
    }
    other = ResourceType("lab.dev", "v1", "pods", "Pod")
    assert [*entries(registry(other), "lab.dev")] == ["pods"]
