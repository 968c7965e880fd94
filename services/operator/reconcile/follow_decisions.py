"""Decisions between two passes: followed at once, for the workloads that they are of.

A pass over a large fleet takes seconds; a decision need not wait for its turn. What decides about
it is read anew (the autoscaler, its class, its target, who else scales it); the rest of the view
(pods, nodes, quotas, which of two autoscalers is the older) is that of the last pass. Registration,
snapshots and reports are left to the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from services.kernel.db.session import unit_of_work
from services.operator.cluster.listed import ListedAutoscaler
from services.operator.kube import client as kube
from services.operator.plan.plan import PlannedAction
from services.operator.reconcile import (
    act as service_act,
    find_targets as service_targets,
    overlay_controls as service_controls,
    report as service_report,
    repository,
)
from services.operator.reconcile.memory import Deps
from services.operator.reconcile.observe import View, load_classes
from services.operator.resource import translate
from services.operator.resource.autoscaler import Key
from services.operator.wire.http import KubeError

ACTIONS_CHANNEL = "harmony_actions"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the last pass found.

    Attributes:
        ids: Workload id of each registered autoscaler.
    """

    view: View
    ids: Mapping[Key, int]


def follow_decisions(deps: Deps, standing: Standing, now: datetime) -> list[PlannedAction]:
    """Follow the open decisions of workloads that the last pass knew; the others wait for a pass.

    Raises:
        KubeError: The API server cannot be read; nothing was done.
        sqlalchemy.exc.DBAPIError: The database failed; nothing was patched, or what was is kept.
    """
    if deps.memory.unwritten or not deps.may_write():
        return []
    with unit_of_work(deps.engine) as work:
        found = service_act.load_open(work.connection, deps, standing.view, standing.ids, now)
    wanted = {key: id_ for key, id_ in standing.ids.items() if id_ in found.decisions}
    view = service_controls.lay(deps, _narrow(deps, standing.view, wanted), now)
    known = {wanted[autoscaler.key] for autoscaler in view.autoscalers}
    decisions = {id_: given for id_, given in found.decisions.items() if id_ in known}
    actions = service_act.act(deps, view, standing.ids, replace(found, decisions=decisions), now)
    service_report.note_done(deps, actions, now)
    write_actions(deps, actions)
    service_act.remember(deps, found, actions)
    return actions


def _narrow(deps: Deps, view: View, wanted: Collection[Key]) -> View:
    """The view with a few autoscalers in it, read anew."""
    every: list[ListedAutoscaler] = deps.kube.list_objects("GPUAutoscaler")
    listed = [each for each in every if (each.namespace, each.name) in wanted]
    classes = load_classes(deps, listed)
    autoscalers = [translate.to_autoscaler(each.resource, classes) for each in listed]
    scales = deps.memory.scales
    targets = service_targets.find(deps, (t for a in autoscalers for t in a.targets if t.kind))
    deps.memory.scales = scales | deps.memory.scales
    try:
        foreign = kube.foreign_autoscalers(deps.kube)
    except KubeError:
        return replace(view, autoscalers=autoscalers, targets=targets, foreign=None)
    return replace(view, autoscalers=autoscalers, targets=targets, foreign=foreign)


def write_actions(deps: Deps, actions: list[PlannedAction]) -> None:
    """Write an action row for each; they are kept where the database fails.

    Raises:
        sqlalchemy.exc.DBAPIError: The database failed.
    """
    if not actions:
        return
    rows = service_act.to_rows(actions, deps.clock.now())
    deps.memory.unwritten = rows
    with unit_of_work(deps.engine) as work:
        repository.store_actions(work.connection, rows)
        repository.notify(work.connection, ACTIONS_CHANNEL, "")
    deps.memory.unwritten = []
    service_act.count(actions)
