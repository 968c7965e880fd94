"""Read Kueue: LocalQueues, ClusterQueues and ResourceFlavors, in the version that is served."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from services.kernel import telemetry
from services.operator.cluster.targets import TargetState
from services.operator.kube.client import KubeClient, Object
from services.operator.kueue.queues import (
    CLUSTER_QUEUE,
    FLAVOR,
    GROUP,
    LOCAL_QUEUE,
    VERSIONS,
    SeenQueues,
    to_cluster_queue,
    to_flavor,
    to_local_queue,
)
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_FORBIDDEN = 403
_ODD = (AttributeError, KeyError, TypeError, ValueError)
"""What reading an object may end in whose fields are of other types."""


def queues_of_targets(
    kube: KubeClient, targets: Iterable[TargetState], *, is_on: bool
) -> SeenQueues:
    """Queues, where they are to be read and a target sends its pods to one."""
    is_queued = any(state.queue for state in targets)
    return read_queues(kube) if is_on and is_queued else SeenQueues(is_on)


def read_queues(kube: KubeClient) -> SeenQueues:
    """Kueue as it is; what cannot be read is named with what to do, and the rest goes on."""
    try:
        version = _served(kube)
        if version is None:
            return SeenQueues(True)
        local = [to_local_queue(each) for each in _listed(kube, version, LOCAL_QUEUE)]
        cluster = [to_cluster_queue(each) for each in _listed(kube, version, CLUSTER_QUEUE)]
        flavors = [to_flavor(each) for each in _listed(kube, version, FLAVOR)]
    except KubeError as error:
        telemetry.reconcile_errors_total.labels("queues_unreadable").inc()
        log.warning("queues_unreadable", error=error.message)
        right = (
            "; grant the operator list and watch on localqueues, clusterqueues and "
            "resourceflavors of kueue.x-k8s.io (docs/supply.md)"
        )
        remedy = right if error.status == _FORBIDDEN else ""
        return SeenQueues(True, True, problem=f"{error.message}{remedy}")
    except _ODD as error:
        telemetry.reconcile_errors_total.labels("queues_unreadable").inc()
        log.warning("queues_unreadable", error=repr(error))
        message = f"an object of {GROUP} has fields of other types ({error!r:.200})"
        return SeenQueues(True, True, problem=message)
    return SeenQueues(
        True,
        True,
        {each.key: each for each in local},
        {each.name: each for each in cluster},
        {each.name: each for each in flavors},
    )


def _served(kube: KubeClient) -> str | None:
    """The newest version that the cluster serves; None: it has no Kueue."""
    versions = (f"{GROUP}/{version}" for version in VERSIONS)
    return next((v for v in versions if kube.find_kind(v, CLUSTER_QUEUE) is not None), None)


def _listed(kube: KubeClient, version: str, kind: str) -> list[Object]:
    served = kube.find_kind(version, kind)
    return [] if served is None else kube.list_kind(served)
