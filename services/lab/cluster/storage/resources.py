"""The kinds that the API serves: built-in ones and those of custom resource definitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]
"""A Kubernetes object as JSON. Stored objects are shared: never changed in place."""


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Paths of the scale subresource's numbers, dotted, without the first dot."""

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = ""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One resource of one API version.

    Attributes:
        has_generation: `metadata.generation` counts changes of the specification.
        needs_version_to_replace: A PUT without resourceVersion is refused.
        field_labels: What a field selector may name in addition to name and namespace.
    """

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    singular: str = ""
    has_status: bool = False
    scale: ScalePaths | None = None
    has_generation: bool = False
    needs_version_to_replace: bool = False
    is_custom: bool = False
    field_labels: tuple[str, ...] = ()
    verbs: tuple[str, ...] = (
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    )

    @property
    def storage_key(self) -> tuple[str, str]:
        """Versions of one resource share their objects."""
        return (self.group, self.plural)

    @property
    def api_version(self) -> str:
        """`apiVersion` of the objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name used in messages, e.g. `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_WORKLOAD = {
    "has_status": True,
    "has_generation": True,
    "scale": ScalePaths(selector="*"),
}
_RBAC = "rbac.authorization.k8s.io"
_REVIEW = {"verbs": ("create",), "group": "authorization.k8s.io", "version": "v1"}

PODS = ResourceType(
    "",
    "v1",
    "pods",
    "Pod",
    short_names=("po",),
    categories=("all",),
    has_status=True,
    has_generation=True,
    field_labels=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
)
NODES = ResourceType(
    "",
    "v1",
    "nodes",
    "Node",
    is_namespaced=False,
    short_names=("no",),
    has_status=True,
    field_labels=("spec.unschedulable",),
)
NAMESPACES = ResourceType(
    "",
    "v1",
    "namespaces",
    "Namespace",
    is_namespaced=False,
    short_names=("ns",),
    has_status=True,
    field_labels=("status.phase",),
)
EVENTS = ResourceType(
    "",
    "v1",
    "events",
    "Event",
    short_names=("ev",),
    field_labels=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "reason",
        "type",
        "source",
        "reportingComponent",
    ),
)
SERVICE_ACCOUNTS = ResourceType("", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",))
RESOURCE_QUOTAS = ResourceType("", "v1", "resourcequotas", "ResourceQuota", has_status=True)
DEPLOYMENTS = ResourceType(
    "apps",
    "v1",
    "deployments",
    "Deployment",
    short_names=("deploy",),
    categories=("all",),
    **_WORKLOAD,  # type: ignore[arg-type]  # a shared set of keyword values
)
REPLICA_SETS = ResourceType(
    "apps",
    "v1",
    "replicasets",
    "ReplicaSet",
    short_names=("rs",),
    categories=("all",),
    **_WORKLOAD,  # type: ignore[arg-type]  # a shared set of keyword values
)
STATEFUL_SETS = ResourceType(
    "apps",
    "v1",
    "statefulsets",
    "StatefulSet",
    short_names=("sts",),
    categories=("all",),
    **_WORKLOAD,  # type: ignore[arg-type]  # a shared set of keyword values
)
CUSTOM_RESOURCE_DEFINITIONS = ResourceType(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    is_namespaced=False,
    short_names=("crd", "crds"),
    has_status=True,
    has_generation=True,
)
SUBJECT_ACCESS_REVIEWS = ResourceType(
    plural="subjectaccessreviews",
    kind="SubjectAccessReview",
    is_namespaced=False,
    **_REVIEW,  # type: ignore[arg-type]  # a shared set of keyword values
)
SELF_SUBJECT_ACCESS_REVIEWS = ResourceType(
    plural="selfsubjectaccessreviews",
    kind="SelfSubjectAccessReview",
    is_namespaced=False,
    **_REVIEW,  # type: ignore[arg-type]  # a shared set of keyword values
)
SELF_SUBJECT_RULES_REVIEWS = ResourceType(
    plural="selfsubjectrulesreviews",
    kind="SelfSubjectRulesReview",
    is_namespaced=False,
    **_REVIEW,  # type: ignore[arg-type]  # a shared set of keyword values
)
SELF_SUBJECT_REVIEWS = ResourceType(
    "authentication.k8s.io",
    "v1",
    "selfsubjectreviews",
    "SelfSubjectReview",
    is_namespaced=False,
    verbs=("create",),
)
ROLES = ResourceType(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = ResourceType(_RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = ResourceType(_RBAC, "v1", "clusterroles", "ClusterRole", is_namespaced=False)
CLUSTER_ROLE_BINDINGS = ResourceType(
    _RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", is_namespaced=False
)
LEASES = ResourceType("coordination.k8s.io", "v1", "leases", "Lease", needs_version_to_replace=True)
POD_DISRUPTION_BUDGETS = ResourceType(
    "policy",
    "v1",
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    short_names=("pdb",),
    has_status=True,
    has_generation=True,
)

BUILT_IN = (
    PODS,
    NODES,
    NAMESPACES,
    EVENTS,
    SERVICE_ACCOUNTS,
    RESOURCE_QUOTAS,
    ResourceType("", "v1", "configmaps", "ConfigMap", short_names=("cm",)),
    ResourceType("", "v1", "podtemplates", "PodTemplate", has_generation=True),
    ResourceType("", "v1", "secrets", "Secret", field_labels=("type",)),
    ResourceType(
        "",
        "v1",
        "services",
        "Service",
        short_names=("svc",),
        categories=("all",),
        has_status=True,
    ),
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    ResourceType(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        short_names=("hpa",),
        categories=("all",),
        has_status=True,
    ),
    CUSTOM_RESOURCE_DEFINITIONS,
    SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    LEASES,
    POD_DISRUPTION_BUDGETS,
)


class Registry:
    """Every resource served now."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str, str], ResourceType] = {}
        for rtype in BUILT_IN:
            self.add(rtype)

    def add(self, rtype: ResourceType) -> None:
        """Serve a resource; replaces an earlier definition of it."""
        self._types[rtype.group, rtype.version, rtype.plural] = rtype

    def remove(self, group: str, plural: str) -> None:
        """Serve no version of a resource any longer."""
        for key in [k for k in self._types if (k[0], k[2]) == (group, plural)]:
            del self._types[key]

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        """The resource served under that path."""
        return self._types.get((group, version, plural))

    def of_kind(self, api_version: str, kind: str) -> ResourceType | None:
        """The resource whose objects have that `apiVersion` and `kind`."""
        return next((t for t in self if t.api_version == api_version and t.kind == kind), None)

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(list(self._types.values()))


def dig(obj: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for part in path.split("."):
        if not isinstance(obj, dict):
            return None
        obj = obj.get(part)
    return obj


def with_value(obj: Obj, path: str, value: Any) -> Obj:
    """A copy of `obj` that has `value` at a dotted path."""
    first, _, rest = path.partition(".")
    return {**obj, first: with_value(obj.get(first) or {}, rest, value) if rest else value}
