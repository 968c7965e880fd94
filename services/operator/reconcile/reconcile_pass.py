"""The reconcile pass: list, store what was seen, follow the decisions, report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.kernel import telemetry
from services.kernel.db.session import unit_of_work
from services.operator.reconcile import (
    act as service_act,
    budgets as service_budget,
    follow_decisions as service_decisions,
    observe as service_observe,
    overlay_controls as service_controls,
    record_states as service_snapshot,
    register as service_register,
    report as service_report,
    repository,
)
from services.operator.reconcile.act import Open
from services.operator.reconcile.follow_decisions import ACTIONS_CHANNEL, Standing
from services.operator.reconcile.memory import Deps
from services.operator.reconcile.observe import View
from services.operator.reconcile.record_states import Snapshot
from services.operator.resource.autoscaler import Key
from services.operator.wire.http import KubeError

STATES_CHANNEL = "harmony_states"


@dataclass(frozen=True, slots=True)
class PassReport:
    """What a pass did.

    Attributes:
        results: Actions written, by result.
        n_statuses: Statuses written.
        n_waiting: Statuses that are left to the next pass.
        n_calls: Requests to the API server.
        standing: What it found, for what is done before the next one.
    """

    n_autoscalers: int
    results: Mapping[str, int]
    n_statuses: int
    n_waiting: int
    n_calls: int
    duration_s: float
    standing: Standing


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the first transaction stored and read."""

    ids: dict[Key, int]
    snapshot: Snapshot
    found: Open


def reconcile_pass(deps: Deps, now: datetime) -> PassReport:
    """One level-triggered pass over every autoscaler.

    The first transaction stores the snapshot and reads the open decisions; then the targets are
    patched, outside of any transaction; the second one writes an action for each decision. When
    the second fails, the rows are kept and written by the next pass before it reads decisions, so
    nothing is applied twice; a process that dies in between finds the target at the decided
    count, and says `unchanged`.

    Raises:
        KubeError: The API server cannot be read; nothing was done.
        sqlalchemy.exc.DBAPIError: The database failed; nothing was patched, or what was is kept.
    """
    started_s, calls = time.perf_counter(), deps.kube.n_calls
    view = service_controls.lay(deps, service_observe.observe(deps), now)
    if not deps.may_write():
        raise KubeError(0, "NotLeading", "leadership ended before anything was written")
    stored = _store(deps, view, now)
    actions = service_act.act(deps, view, stored.ids, stored.found, now)
    service_report.note_done(deps, actions, now)
    service_decisions.write_actions(deps, actions)
    service_act.remember(deps, stored.found, actions)
    findings = service_report.Findings(stored.ids, stored.snapshot.replicas, stored.found.newest)
    n_statuses, n_waiting = service_report.report(deps, view, findings, now)
    n_statuses += service_budget.report(deps, view, now)
    duration_s = time.perf_counter() - started_s
    telemetry.reconcile_duration_seconds.observe(duration_s)
    return PassReport(
        len(view.autoscalers),
        Counter(str(action.result) for action in actions),
        n_statuses,
        n_waiting,
        deps.kube.n_calls - calls,
        duration_s,
        Standing(view, stored.ids),
    )


def _store(deps: Deps, view: View, now: datetime) -> _Stored:
    memory = deps.memory
    with unit_of_work(deps.engine) as work:
        connection = work.connection
        if memory.unwritten:
            repository.store_actions(connection, memory.unwritten)
            repository.notify(connection, ACTIONS_CHANNEL, "")
        ids = service_register.register(connection, deps, view, now)
        service_budget.register(connection, deps, view, now)
        taken = service_snapshot.take(connection, deps, view, ids, now)
        found = service_act.load_open(connection, deps, view, ids, now)
        service_report.refresh_details(connection, deps, ids, now)
        if taken.states:
            repository.notify(connection, STATES_CHANNEL, now.isoformat())
    memory.unwritten = []
    service_snapshot.remember(deps, taken)
    return _Stored(ids, taken, found)
