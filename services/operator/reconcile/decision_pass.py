"""The decision pass: between two reconcile passes, new decisions are applied at once.

A reconcile pass over a large fleet takes seconds; a decision need not wait for it. Everything that
decides about the decision is read again (the autoscaler, its class, its target, other autoscalers).
The rest of the view (pods, nodes, quotas, which of two autoscalers is the older) is that of the
last reconcile pass. Registration, snapshots and reports are left to the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from services.kernel.db.session import unit_of_work
from services.operator.cluster.listed import ListedAutoscaler
from services.operator.kube.client import list_other_autoscalers
from services.operator.plan.plan import PlannedAction
from services.operator.reconcile.apply_controls import apply_controls
from services.operator.reconcile.apply_decisions import (
    AppliedDecisions,
    apply_decisions,
    count_actions,
    learned_view,
    load_open_decisions,
    remember_decisions,
    to_rows,
)
from services.operator.reconcile.find_targets import find_targets, list_pods
from services.operator.reconcile.gpu_use import FleetAtHand
from services.operator.reconcile.intents import store_results
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View, load_classes
from services.operator.reconcile.report_statuses import note_actions
from services.operator.resource import translate
from services.operator.resource.autoscaler import Key
from services.operator.wire.http import KubeError


@dataclass(frozen=True, slots=True)
class KnownFleet:
    """The fleet as the last reconcile pass found it.

    Attributes:
        ids: Workload id of each registered autoscaler.
    """

    view: View
    ids: Mapping[Key, int]


def decision_pass(deps: OperatorDeps, fleet: KnownFleet, now: datetime) -> list[PlannedAction]:
    """Apply the open decisions of workloads that the last pass knew; the others wait for a pass.

    Raises:
        KubeError: The API server cannot be read; nothing was done.
        sqlalchemy.exc.DBAPIError: The database failed; nothing was patched, or what was is kept.
    """
    memory = deps.memory
    if memory.unwritten or memory.settled or not deps.may_write():
        return []
    with unit_of_work(deps.engine) as work:
        found = load_open_decisions(work.connection, deps, fleet.view, fleet.ids, now)
    wanted = {key: id_ for key, id_ in fleet.ids.items() if id_ in found.decisions}
    view = apply_controls(deps, _read_again(deps, fleet.view, wanted), now)
    view = learned_view(view, fleet.ids, found.newest)
    read = {wanted[autoscaler.key] for autoscaler in view.autoscalers}
    decisions = {id_: open_ for id_, open_ in found.decisions.items() if id_ in read}
    known = fleet.view
    at_hand = FleetAtHand(view, fleet.ids, lambda: _look_again(deps, known, view), known)
    applied = apply_decisions(deps, at_hand, replace(found, decisions=decisions), now)
    note_actions(deps, applied.actions, now)
    store_actions(deps, applied)
    remember_decisions(deps, found, applied.actions)
    return applied.actions


def _look_again(deps: OperatorDeps, whole: View, again: View) -> View:
    """The whole fleet with all targets and pods as they are now: budgets hold over all of it.

    Autoscalers that were read again are as they were read: one whose spec was bad until then had
    no targets that could be seen.
    """
    fresh = {autoscaler.key: autoscaler for autoscaler in again.autoscalers}
    autoscalers = [fresh.get(each.key, each) for each in whole.autoscalers]
    targets = find_targets(deps, (t for a in autoscalers for t in a.targets if t.kind))
    pods = list_pods(deps, targets)
    return replace(whole, autoscalers=autoscalers, targets=targets, pods=pods)


def _read_again(deps: OperatorDeps, view: View, wanted: Collection[Key]) -> View:
    """The view reduced to a few autoscalers, which are read again."""
    every: list[ListedAutoscaler] = deps.kube.list_objects("GPUAutoscaler")
    listed = [each for each in every if (each.namespace, each.name) in wanted]
    classes = load_classes(deps, listed)
    autoscalers = [translate.to_autoscaler(each.resource, classes) for each in listed]
    scales = deps.memory.scales
    targets = find_targets(deps, (t for a in autoscalers for t in a.targets if t.kind))
    deps.memory.scales = scales | deps.memory.scales
    try:
        others = list_other_autoscalers(deps.kube)
    except KubeError:
        return replace(view, autoscalers=autoscalers, targets=targets, others=None)
    return replace(view, autoscalers=autoscalers, targets=targets, others=others)


def store_actions(deps: OperatorDeps, applied: AppliedDecisions) -> None:
    """Store a row for each action in place of its intent; both are kept where the database fails.

    Raises:
        sqlalchemy.exc.DBAPIError: The database failed.
    """
    if not applied.actions and not applied.settled:
        return
    memory, rows = deps.memory, to_rows(applied.actions, deps.clock.now() - applied.ahead)
    memory.unwritten, memory.settled = rows, applied.settled
    with unit_of_work(deps.engine) as work:
        store_results(work.connection, rows, applied.settled)
    memory.unwritten, memory.settled = [], []
    count_actions(deps.settings.cluster, applied.actions)
