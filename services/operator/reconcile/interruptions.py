"""Spot nodes of the cluster: what becomes of them is counted, and what is about to go replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.kernel import telemetry
from services.operator.cluster.placement import nodes_of_type
from services.operator.cluster.spot import spot_names
from services.operator.plan.interruptions import (
    SpotCount,
    SpotNode,
    follow,
    serving_nodes,
    spot_nodes,
)
from services.operator.plan.part_members import members_of
from services.operator.plan.plan import AHEAD, StoredDecision
from services.operator.reconcile import repository
from services.operator.reconcile.apply_decisions import OpenDecisions, to_decision
from services.operator.reconcile.memory import OperatorDeps, SeenSpot
from services.operator.reconcile.observe import View
from services.operator.reconcile.supply import stated_supplies
from services.operator.resource.autoscaler import Key
from services.operator.stored import interruptions_repository


def with_spot(connection: Connection, deps: OperatorDeps, view: View, now: datetime) -> View:
    """The view with its spot nodes; what became of them since the last pass is counted.

    Where there never was one, nothing is read or written.
    """
    stated = [name for name, each in stated_supplies(view).items() if each.is_spot]
    spot = spot_names(view.nodes.values(), stated)
    memory = deps.memory
    if not spot and not (memory.spot and memory.spot.nodes):
        return view
    seen = memory.spot or SeenSpot(interruptions_repository.load_counts(connection))
    members = [m.spec for each in view.autoscalers for m in members_of(each) if m.spec is not None]
    types = {spec.gpu_type for spec in members} | seen.nodes.keys()
    serving = serving_nodes(view.pods.every)
    nodes: dict[str, Mapping[str, SpotNode]] = {}
    counts: dict[str, SpotCount] = {}
    is_news = False
    for gpu_type in sorted(types):
        of_type = spot_nodes(nodes_of_type(view.nodes.values(), gpu_type), serving, spot)
        before = seen.nodes.get(gpu_type)
        if not of_type and not before:
            continue
        known = seen.counts.get(gpu_type, SpotCount())
        change = follow(known, before, of_type, now)
        nodes[gpu_type], counts[gpu_type] = of_type, change.count
        is_news |= change.interruptions > 0 or change.count.noticed != known.noticed
        telemetry.spot_interruptions_total.labels(gpu_type).inc(change.interruptions)
        telemetry.spot_node_hours_total.labels(gpu_type).inc(change.node_hours)
    is_due = seen.stored_at is None or now - seen.stored_at >= _stored_every(deps)
    if is_news or is_due:
        interruptions_repository.store_counts(connection, counts)
    stored_at = now if is_news or is_due else seen.stored_at
    # a transaction that fails makes the operator forget all of its memory
    memory.spot = SeenSpot({**seen.counts, **counts}, nodes, stored_at)
    return replace(view, spot=spot)


def _stored_every(deps: OperatorDeps) -> timedelta:
    return timedelta(seconds=deps.settings.step_s) / 2


def with_leaving(
    connection: Connection,
    deps: OperatorDeps,
    view: View,
    ids: Mapping[Key, int],
    found: OpenDecisions,
    now: datetime,
) -> OpenDecisions:
    """The decisions with those under which replicas on nodes about to go are to be replaced.

    They are read again: what was made of them is not in the operator's memory. An open decision is
    carried out with what it replaces, so it needs none of this.
    """
    wanted = [
        id_
        for autoscaler in view.autoscalers
        if (id_ := ids.get(autoscaler.key)) is not None
        and id_ not in found.decisions
        and view.leaving(autoscaler).replicas
    ]
    if not wanted:
        return found
    version = deps.settings.policy_version
    rows = repository.load_newest_decisions(connection, wanted, version, now + AHEAD)
    newest: list[StoredDecision] = [to_decision(row) for row in rows]
    carried_out = {each.workload_id: each for each in newest if not each.is_ahead(now)}
    return replace(found, carried_out=carried_out)
