"""Read what adds nodes to the cluster: Karpenter's pools and the Cluster Autoscaler's status."""

from __future__ import annotations

from typing import Any

import structlog

from services.kernel import telemetry
from services.operator.cluster.node_groups import (
    STATUS_NAME,
    STATUS_NAMESPACE,
    NodeGroup,
    UnreadableStatus,
    to_node_groups,
)
from services.operator.cluster.node_pools import KARPENTER_VERSION, NODE_CLAIM, NODE_POOL
from services.operator.cluster.node_sources import SeenSources
from services.operator.kube.client import KubeClient
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_FORBIDDEN = 403
_PLURALS = {NODE_POOL: "nodepools.karpenter.sh", NODE_CLAIM: "nodeclaims.karpenter.sh"}


def read_sources(kube: KubeClient) -> SeenSources:
    """What adds nodes; what cannot be read is named with what to do, and the rest goes on."""
    problems: list[str] = []
    listed = _listed(kube, NODE_POOL, problems)
    pools = None if listed is None else tuple(pool for each in listed for pool in each)
    claims = _listed(kube, NODE_CLAIM, problems) or ()
    groups = _groups(kube, problems)
    return SeenSources(True, pools, claims, groups, tuple(problems))


def _listed(kube: KubeClient, kind: str, problems: list[str]) -> tuple[Any, ...] | None:
    try:
        return tuple(kube.list_objects(kind))
    except KubeError as error:
        # a right that is missing hides whether the kind is there at all; discovery needs none
        is_absent = error.status == _FORBIDDEN and kube.find_kind(KARPENTER_VERSION, kind) is None
        if is_absent:
            return ()
        _note(error, problems, f"{_PLURALS[kind]} cannot be listed", "list and watch on them")
        return None


def _groups(kube: KubeClient, problems: list[str]) -> dict[str, NodeGroup] | None:
    where = f"ConfigMap/{STATUS_NAMESPACE}/{STATUS_NAME}"
    try:
        found = kube.find_config_map(STATUS_NAMESPACE, STATUS_NAME)
        return {} if found is None else to_node_groups(found)
    except KubeError as error:
        _note(error, problems, f"{where} cannot be read", "get on it")
    except UnreadableStatus as error:
        telemetry.reconcile_errors_total.labels("supply_unreadable").inc()
        log.warning("supply_unreadable", error=str(error))
        problems.append(f"{where}: {error}")
    return None


def _note(error: KubeError, problems: list[str], what: str, right: str) -> None:
    log.warning("supply_unreadable", error=error.message)
    telemetry.reconcile_errors_total.labels("supply_unreadable").inc()
    remedy = f"; grant the operator {right} (docs/supply.md)" if error.status == _FORBIDDEN else ""
    problems.append(f"{what}: {error.message}{remedy}")
