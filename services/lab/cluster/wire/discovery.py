"""Discovery: which groups, versions and resources there are."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.storage.resources import Registry, ResourceType

VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.0+harmony-lab",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "cpython",
    "platform": "lab/simulated",
}


def core_versions(address: str) -> dict[str, Any]:
    """Answer of `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def groups(registry: Registry) -> dict[str, Any]:
    """Answer of `/apis`."""
    names = dict.fromkeys(rtype.group for rtype in registry if rtype.group)
    found = [group(registry, name) for name in names]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(registry: Registry, name: str) -> dict[str, Any] | None:
    """Answer of `/apis/GROUP`; None when there is none."""
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version}
        for version in dict.fromkeys(rtype.version for rtype in registry if rtype.group == name)
    ]
    if not versions:
        return None
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def resources(registry: Registry, group_name: str, version: str) -> dict[str, Any] | None:
    """Answer of `/api/v1` and `/apis/GROUP/VERSION`; None when there is none."""
    found = [t for t in registry if (t.group, t.version) == (group_name, version)]
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": [entry for rtype in found for entry in _entries(rtype)],
    }


def _entries(rtype: ResourceType) -> list[dict[str, Any]]:
    whole: dict[str, Any] = {
        "name": rtype.plural,
        "singularName": rtype.singular or rtype.kind.lower(),
        "namespaced": rtype.is_namespaced,
        "kind": rtype.kind,
        "verbs": list(rtype.verbs),
    }
    if rtype.short_names:
        whole["shortNames"] = list(rtype.short_names)
    if rtype.categories:
        whole["categories"] = list(rtype.categories)
    entries = [whole]
    parts: list[tuple[str, str, dict[str, Any]]] = []
    if rtype.has_status:
        parts.append(("status", rtype.kind, {}))
    if rtype.scale is not None:
        parts.append(("scale", "Scale", {"group": "autoscaling", "version": "v1"}))
    for name, kind, more in parts:
        entries.append(
            {
                "name": f"{rtype.plural}/{name}",
                "singularName": "",
                "namespaced": rtype.is_namespaced,
                "kind": kind,
                "verbs": ["get", "patch", "update"],
                **more,
            }
        )
    for resource, name, kind, group_name in (
        ("pods", "eviction", "Eviction", "policy"),
        ("serviceaccounts", "token", "TokenRequest", "authentication.k8s.io"),
    ):
        if rtype.plural == resource and not rtype.group:
            entries.append(
                {
                    "name": f"{resource}/{name}",
                    "singularName": "",
                    "namespaced": True,
                    "kind": kind,
                    "group": group_name,
                    "version": "v1",
                    "verbs": ["create"],
                }
            )
    return entries
