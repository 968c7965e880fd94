"""Marking the pods to lose before a target is scaled in."""

from __future__ import annotations

import structlog

from services.kernel import telemetry
from services.operator.cluster.pods import COST_ANNOTATION, MARK_ANNOTATION
from services.operator.plan.plan import PlannedAction
from services.operator.plan.victims import marks
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.resource.autoscaler import Autoscaler
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_FOLLOWED_BY = ("Deployment", "ReplicaSet")
"""Kinds whose controller goes by deletion costs; a StatefulSet gives up its highest ordinals."""


def mark_victims(
    deps: OperatorDeps, view: View, autoscaler: Autoscaler, action: PlannedAction
) -> None:
    """Set deletion costs where they change which pods go.

    Nothing depends on it: a mark that cannot be written is logged, and the scaling goes on.
    """
    from_replicas, to_replicas = action.from_replicas or 0, action.to_replicas or 0
    is_followed = autoscaler.target.kind in _FOLLOWED_BY
    if not deps.settings.operator_deletion_cost or not is_followed or to_replicas >= from_replicas:
        return
    for each in marks(view.pods_of(autoscaler), to_replicas):
        value = None if each.cost is None else str(each.cost)
        annotations = {COST_ANNOTATION: value, MARK_ANNOTATION: value}
        try:
            deps.kube.annotate_pod(each.pod.namespace, each.pod.name, annotations)
        except KubeError as error:
            if error.is_missing:
                continue
            telemetry.reconcile_errors_total.labels("deletion_cost").inc()
            log.warning("pod_not_marked", pod=each.pod.name, error=error.message)
            return
