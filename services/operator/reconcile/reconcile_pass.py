"""The reconcile pass: observe the cluster, store states, apply decisions, report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.kernel import telemetry
from services.kernel.db.clusters import note_operator
from services.kernel.db.session import unit_of_work
from services.kernel.server_clock import ahead_by
from services.operator.plan.plan import PlannedAction
from services.operator.reconcile import budgets, repository
from services.operator.reconcile.apply_controls import apply_controls
from services.operator.reconcile.apply_decisions import (
    OpenDecisions,
    apply_decisions,
    learned_view,
    load_open_decisions,
    remember_decisions,
    with_leaving,
)
from services.operator.reconcile.decision_pass import KnownFleet, store_actions
from services.operator.reconcile.find_targets import add_patched
from services.operator.reconcile.gpu_use import FleetAtHand
from services.operator.reconcile.intents import resolve_intents, store_results, with_results
from services.operator.reconcile.intents_repository import load_intents
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View, observe
from services.operator.reconcile.record_states import FleetSnapshot, record_states, remember_states
from services.operator.reconcile.register import register
from services.operator.reconcile.report_statuses import (
    PassFindings,
    note_actions,
    refresh_details,
    report_statuses,
)
from services.operator.reconcile.supply import hold_headroom, with_spot, with_supplies
from services.operator.resource.autoscaler import Key
from services.operator.wire.http import KubeError

STATES_CHANNEL = "harmony_states"
_SEEN_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class PassReport:
    """Result of a pass.

    Attributes:
        results: Actions written, by result.
        n_statuses: Statuses written.
        n_waiting: Statuses that are left to the next pass.
        n_calls: Requests to the API server.
        fleet: What it found, for the decision passes before the next one.
    """

    n_autoscalers: int
    results: Mapping[str, int]
    n_statuses: int
    n_waiting: int
    n_calls: int
    duration_s: float
    fleet: KnownFleet


@dataclass(frozen=True, slots=True)
class _Stored:
    """Results of the first two transactions.

    Attributes:
        resolved: Actions of former passes that could only be stored now.
    """

    ids: dict[Key, int]
    view: View
    snapshot: FleetSnapshot
    decisions: OpenDecisions
    resolved: list[PlannedAction]


def reconcile_pass(deps: OperatorDeps, now: datetime) -> PassReport:
    """One level-triggered pass over every autoscaler.

    The first transaction registers the autoscalers. What became of intents that were left open is
    then found out, outside of any transaction; the second one stores that and the snapshot, and
    reads the open decisions. The third one stores an intent for each scaling; then the targets are
    patched, outside of any transaction; the fourth one stores an action for each decision, in place
    of the intents. When it fails, the rows are kept and written by the next pass before it
    reads decisions, so nothing is applied twice; a process that dies in between leaves the intents.

    Raises:
        KubeError: The API server cannot be read; nothing was patched.
        sqlalchemy.exc.DBAPIError: The database failed; nothing was patched, or what was is kept.
    """
    started_s, calls = time.perf_counter(), deps.kube.n_calls
    view = apply_controls(deps, observe(deps), now)
    if not deps.may_write():
        raise KubeError(0, "NotLeading", "leadership ended before anything was written")
    stored = _store(deps, view, now)
    view = stored.view
    note_actions(deps, stored.resolved, now)
    applied = apply_decisions(
        deps, FleetAtHand(view, stored.ids, lambda: view, view), stored.decisions, now
    )
    actions = applied.actions
    note_actions(deps, actions, now)
    store_actions(deps, applied)
    remember_decisions(deps, stored.decisions, actions)
    view = hold_headroom(deps, view, now)
    findings = PassFindings(stored.ids, stored.snapshot.replicas, stored.decisions.newest)
    n_statuses, n_waiting = report_statuses(deps, view, findings, now)
    n_statuses += budgets.report_statuses(deps, view, now)
    duration_s = time.perf_counter() - started_s
    telemetry.reconcile_duration_seconds.labels(deps.settings.cluster).observe(duration_s)
    return PassReport(
        len(view.autoscalers),
        Counter(str(action.result) for action in actions),
        n_statuses,
        n_waiting,
        deps.kube.n_calls - calls,
        duration_s,
        KnownFleet(view, stored.ids),
    )


def _store(deps: OperatorDeps, view: View, now: datetime) -> _Stored:
    memory = deps.memory
    with unit_of_work(deps.engine) as work:
        connection = work.connection
        store_results(connection, memory.unwritten, memory.settled)
        note_operator(connection, deps.settings.cluster, now - _SEEN_EVERY, now)
        ids = register(connection, deps, view, now)
        intents = load_intents(connection)
    memory.unwritten, memory.settled = [], []
    resolved = resolve_intents(intents, deps, view, ids)
    add_patched(deps, view.targets)
    with unit_of_work(deps.engine) as work:
        connection = work.connection
        keys = [each.key for each in resolved]
        found_at = now - ahead_by(connection, deps.clock) if resolved else now
        store_results(connection, [each.to_row(found_at) for each in resolved], keys)
        budgets.store_budgets(connection, deps, view, now)
        decisions = load_open_decisions(connection, deps, view, ids, now)
        late_actions = with_results(decisions.newest, resolved)
        view = learned_view(view, ids, decisions.newest)
        view = with_supplies(connection, deps, view, now)
        view = with_spot(connection, deps, view, now)
        decisions = with_leaving(connection, deps, view, ids, decisions, now)
        snapshot = record_states(connection, deps, view, ids, now)
        refresh_details(connection, deps, ids, now)
        if snapshot.states:
            repository.notify(connection, STATES_CHANNEL, now.isoformat())
    remember_states(deps, snapshot)
    for each in resolved:
        telemetry.actions_total.labels(deps.settings.cluster, str(each.result)).inc()
    return _Stored(ids, view, snapshot, decisions, late_actions)
