"""The rights that the operator uses, and no others; the chart's ClusterRole is made from them.

A test compares them with the calls that the operator makes.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.operator.resource.fields import GROUP


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on resources of one API group, as in a `PolicyRule`."""

    api_group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]

    def to_manifest(self) -> dict[str, list[str]]:
        """The right as a ClusterRole spells it."""
        return {
            "apiGroups": [self.api_group],
            "resources": list(self.resources),
            "verbs": list(self.verbs),
        }


RIGHTS = (
    Right(GROUP, ("gpuautoscalers",), ("list", "watch")),
    Right(GROUP, ("slaclasses", "gpubudgets"), ("list", "watch")),
    Right(GROUP, ("gpuautoscalers/status", "gpubudgets/status"), ("patch",)),
    Right("", ("pods", "nodes", "resourcequotas"), ("list", "watch")),
    Right("", ("events",), ("create",)),
    Right("apps", ("deployments", "statefulsets", "replicasets"), ("list", "watch")),
    Right("apps", ("deployments/scale", "statefulsets/scale"), ("get", "patch")),
    Right("autoscaling", ("horizontalpodautoscalers",), ("list", "watch")),
    Right("keda.sh", ("scaledobjects",), ("list", "watch")),
    # kopf notices when the custom resource is installed or replaced while it runs
    Right("apiextensions.k8s.io", ("customresourcedefinitions",), ("list", "watch")),
)

FURTHER_RIGHTS = (
    # marks of the pods to lose, before a scaling in; on with HARMONY_OPERATOR_DELETION_COST=true
    Right("", ("pods",), ("patch",)),
    # what adds nodes; on with HARMONY_OPERATOR_SUPPLY=true; the chart binds the ConfigMap to the
    # name of the Cluster Autoscaler's status
    Right("karpenter.sh", ("nodepools", "nodeclaims"), ("list", "watch")),
    Right("", ("configmaps",), ("get",)),
    # why Karpenter gave up a NodeClaim; the chart grants it in the namespace `default` alone, where
    # Events about objects without a namespace are
    Right("", ("events",), ("list",)),
    # quotas of the queues that pods are sent to; on with HARMONY_OPERATOR_KUEUE=true
    Right("kueue.x-k8s.io", ("localqueues", "clusterqueues", "resourceflavors"), ("list", "watch")),
    # devices that pods claim; on with HARMONY_OPERATOR_DRA=true
    Right(
        "resource.k8s.io",
        ("deviceclasses", "resourceslices", "resourceclaims", "resourceclaimtemplates"),
        ("list", "watch"),
    ),
    # buffers that hold headroom, in the namespace that the operator runs in; on with
    # HARMONY_OPERATOR_HEADROOM=true
    Right("autoscaling.x-k8s.io", ("capacitybuffers",), ("list", "create", "patch", "delete")),
    Right("", ("podtemplates",), ("create", "delete")),
    # targets of other kinds than Deployment and StatefulSet; one pair for each kind in use
    Right("apps", ("replicasets/scale",), ("get", "patch")),
    Right("leaderworkerset.x-k8s.io", ("leaderworkersets",), ("list", "watch")),
    Right("leaderworkerset.x-k8s.io", ("leaderworkersets/scale",), ("get", "patch")),
)
"""Rights of features that can be switched off or left unused: without one of them the operator
goes on, and logs what it lacks."""

OWN_NAMESPACE_RIGHTS = (
    # the election of a leader; `create` cannot be bound to a name, the other two are to be bound
    # to that of the Lease (HARMONY_LEASE_NAME)
    Right("coordination.k8s.io", ("leases",), ("get", "create", "update")),
)
"""Rights in the namespace that the operator runs in; the chart's Role is made from them."""
