"""A simulated cluster that checks rights, with the chart's roles in it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from services.kernel import telemetry
from tests.unit.deploy.chart import Manifest, named, of_kind, render

NAMESPACE = "harmony-system"
OPERATOR = "harmony-operator"
ALL_ON = {
    "operator_deletion_cost": True,
    "operator_supply": True,
    "operator_headroom": True,
    "operator_kueue": True,
    "operator_dra": True,
}
"""Settings of features that have rights of their own."""
CLUSTER_ROLE = f"{NAMESPACE}-{OPERATOR}"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One verb on one resource, as a rule grants it or a call needs it."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        where = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {where}"


def entries(rules: Sequence[Mapping[str, Any]]) -> Counter[Entry]:
    """What rules grant, and how often."""
    return Counter(
        Entry(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def without(rules: Sequence[Mapping[str, Any]], entry: Entry) -> list[dict[str, Any]]:
    """The rules less one entry; the others keep what they grant."""
    found = []
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                verbs = [v for v in rule["verbs"] if Entry(group, resource, v) != entry]
                if verbs:
                    narrow = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
                    found.append({**copy.deepcopy(dict(rule)), **narrow})
    return found


class Guard:
    """The roles of the operator, as the chart renders them, in a cluster."""

    def __init__(self, http: httpx.Client, values: dict[str, Any] | None = None) -> None:
        """Install what the chart renders for the operator's rights."""
        self._http = http
        manifests = render(values)
        self.roles = {
            (kind, role["metadata"]["name"]): role
            for kind in ("ClusterRole", "Role")
            for role in of_kind(manifests, kind)
            if role["metadata"]["labels"]["app.kubernetes.io/component"] == "operator"
        }
        self._post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        account = named(manifests, "ServiceAccount", OPERATOR)
        self._post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
        for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
            for manifest in of_kind(manifests, kind):
                if manifest["metadata"]["labels"]["app.kubernetes.io/component"] == "operator":
                    self._post(collection(manifest), manifest)
        asked = {"namespace": NAMESPACE, "name": OPERATOR}
        self.token = str(self._post("/lab/tokens", asked)["token"])
        self.user = f"system:serviceaccount:{NAMESPACE}:{OPERATOR}"

    @property
    def granted(self) -> Counter[Entry]:
        """Everything that the roles allow."""
        return sum((entries(role["rules"]) for role in self.roles.values()), Counter())

    def take_away(self, entry: Entry) -> None:
        """Leave an entry out of every role."""
        self._put_rules(lambda rules: without(rules, entry))

    def restore(self) -> None:
        """Put the roles back as they were."""
        self._put_rules(lambda rules: rules)

    def _put_rules(self, change: Any) -> None:
        for role in self.roles.values():
            path = f"{collection(role)}/{role['metadata']['name']}"
            body = {"rules": change(role["rules"])}
            headers = {"Content-Type": "application/merge-patch+json"}
            self._http.patch(path, json=body, headers=headers).raise_for_status()

    def used(self) -> set[Entry]:
        """What the operator has asked for since `forget`."""
        counted = self._http.get("/lab/requests").raise_for_status().json()["requests"]
        return {
            Entry(c["group"], c["resource"], c["verb"]) for c in counted if c["user"] == self.user
        }

    def forget(self) -> None:
        """Count from here on."""
        self._http.delete("/lab/requests").raise_for_status()

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = self._http.post(path, json=body)
        assert response.status_code < 300, response.text
        return dict(response.json())


def collection(manifest: Manifest) -> str:
    """Path of a role's or binding's collection."""
    plural = f"{manifest['kind'].lower()}s"
    if manifest["kind"].startswith("Cluster"):
        return f"{RBAC}/{plural}"
    return f"{RBAC}/namespaces/{manifest['metadata']['namespace']}/{plural}"


def refusals() -> Counter[str]:
    """Calls of this process's operator that were forbidden, by verb and resource."""
    found: Counter[str] = Counter()
    for metric in telemetry.kube_requests_total.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total") and sample.labels["code"] == "403":
                found[sample.labels["verb"]] += int(sample.value)
    return found
