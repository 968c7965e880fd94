"""Read what adds nodes to the cluster: Karpenter's pools and the Cluster Autoscaler's status."""

from __future__ import annotations

from collections.abc import Iterable
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
from services.operator.cluster.node_pools import (
    KARPENTER_VERSION,
    NODE_CLAIM,
    NODE_POOL,
    EndedClaim,
    NodeClaim,
    NodeRefusal,
)
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
    claims = _listed(kube, NODE_CLAIM, problems)
    has_status, groups = _groups(kube, problems)
    refused = {} if claims is None else _refused(kube, claims)
    return SeenSources(True, pools, claims or (), groups, tuple(problems), refused, has_status)


def _refused(kube: KubeClient, there: Iterable[NodeClaim]) -> dict[str, NodeRefusal]:
    """The newest claim of each pool that went before it was launched.

    Karpenter deletes a claim at once where its provider has no capacity, and says why in an Event
    (kubernetes-sigs/karpenter, pkg/controllers/nodeclaim/lifecycle/launch.go).
    """
    names = {claim.name for claim in there}
    newest: dict[str, EndedClaim] = {}
    for claim in kube.last_states(NODE_CLAIM):
        before = newest.get(claim.pool)
        is_later = before is None or claim.ended_at >= before.ended_at
        if is_later and not claim.is_launched and claim.name not in names:
            newest[claim.pool] = claim
    return {
        pool: NodeRefusal(claim.ended_at, claim.why or _why(kube, claim))
        for pool, claim in newest.items()
    }


def _why(kube: KubeClient, claim: EndedClaim) -> str:
    said = kube.warning_about(claim.uid)
    reason = said.replace(f"NodeClaim {claim.name} event: ", "") or "no node was given for it"
    return f"NodeClaim/{claim.name} was deleted before it was launched ({reason})"


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


def _groups(kube: KubeClient, problems: list[str]) -> tuple[bool, dict[str, NodeGroup] | None]:
    """Whether there is a status, and the node groups in it; None: they could not be read."""
    where = f"ConfigMap/{STATUS_NAMESPACE}/{STATUS_NAME}"
    try:
        found = kube.find_config_map(STATUS_NAMESPACE, STATUS_NAME)
        return found is not None, {} if found is None else to_node_groups(found)
    except KubeError as error:
        _note(error, problems, f"{where} cannot be read", "get on it")
    except UnreadableStatus as error:
        telemetry.reconcile_errors_total.labels("supply_unreadable").inc()
        log.warning("supply_unreadable", error=str(error))
        problems.append(f"{where}: {error}")
    return True, None


def _note(error: KubeError, problems: list[str], what: str, right: str) -> None:
    log.warning("supply_unreadable", error=error.message)
    telemetry.reconcile_errors_total.labels("supply_unreadable").inc()
    remedy = f"; grant the operator {right} (docs/supply.md)" if error.status == _FORBIDDEN else ""
    problems.append(f"{what}: {error.message}{remedy}")
