"""The admin API and the kubeconfig must speak of one cluster, or what is approved is another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.admin.workloads.schemas import WorkloadView
from services.kernel.errors import Conflict

if TYPE_CHECKING:
    from services.cli.kubectl.cluster import Cluster, Object


def check_same_cluster(
    cluster: Cluster, resource: Object, server: str, workload: WorkloadView
) -> None:
    """See that a workload of the API follows the object that is about to be written.

    The API server gives each object a uid of its own, so equal names in two clusters differ by it.
    A workload whose object is not known to the API cannot be compared.

    Args:
        cluster: Where `resource` is.
        resource: The GPUAutoscaler, as the API server has it.
        server: Address of the admin API.
        workload: The workload of the same name, as the admin API has it.

    Raises:
        Conflict: It follows another object.
    """
    own = str((resource.get("metadata") or {}).get("uid") or "")
    if workload.object_uid in (None, own):
        return
    raise Conflict(
        f"{workload.namespace}/{workload.name} is two objects of one name: uid {own} in "
        f"{cluster.label}, uid {workload.object_uid} in cluster {workload.cluster!r} of {server}; "
        "nothing was written; name one cluster with --context, --cluster and --server"
    )
