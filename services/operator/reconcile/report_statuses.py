"""Report the status and Events of each autoscaler, written only when they changed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b

import orjson
import structlog
from sqlalchemy import Connection, RowMapping

from services.kernel import telemetry
from services.kernel.domain.promise import promise_figures
from services.operator.cluster.pods import Replicas
from services.operator.plan.plan import PlannedAction, Result, StoredDecision
from services.operator.reconcile import repository
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View, situation_of
from services.operator.report import events, status
from services.operator.report.facts import AutoscalerFacts, Details, HistoryFigures
from services.operator.report.status import AutoscalerReport, Status, TakenAction
from services.operator.resource.autoscaler import Autoscaler, Key
from services.operator.stored.kills_repository import load_kills
from services.operator.stored.request_times_repository import load_request_times
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_N_KEPT = 20
_KILLS_SINCE = timedelta(days=1)
_TIMES_EVERY = 20
"""How long requests take is read so much more seldom than the details: it is of an hour."""
_TIMES_AT_ONCE = 200
_NEVER: tuple[float, None] = (0.0, None)
_MOST_BROKEN = 3
"""So many broken answers in a row are of the API server, and no longer of single objects."""
_PRUNED_S = 300.0
"""Time between two writes of a status of which the API server keeps only a part."""


@dataclass(frozen=True, slots=True)
class PassFindings:
    """Ids, replicas and newest decisions of the workloads of a pass."""

    ids: Mapping[Key, int]
    replicas: Mapping[Key, Replicas]
    newest: Mapping[int, StoredDecision]


def note_actions(deps: OperatorDeps, actions: Sequence[PlannedAction], at: datetime) -> None:
    """Keep actions until the statuses show them; decisions that merely ran out are not shown."""
    unreported = deps.memory.unreported
    for action in actions:
        if action.result not in (Result.SUPERSEDED, Result.EXPIRED):
            before = unreported.get(action.decision.workload_id, ())
            unreported[action.decision.workload_id] = (*before, TakenAction(action, at))


def refresh_details(
    connection: Connection, deps: OperatorDeps, ids: Mapping[Key, int], now: datetime
) -> None:
    """Load the details of the statuses (forecast, risk, lead times), where they are due."""
    known, figures = deps.memory.details, deps.memory.figures
    due = _of_age(ids, known, deps.pace.figures_s)
    _refresh_request_times(connection, deps, ids.values(), now)
    if not due:
        return
    at_s = time.monotonic()
    old = set(_of_age(ids, figures, deps.pace.history_s)) & set(due)
    if old:
        for row in repository.load_history_figures(connection, sorted(old), now):
            figures[int(row["workload_id"])] = (at_s, to_figures(row))
    kills = load_kills(connection, due, now - _KILLS_SINCE)
    for row in repository.load_details(connection, due):
        id_ = int(row["workload_id"])
        _, request_s = deps.memory.request_times.get(id_, _NEVER)
        details = replace(
            to_details(row),
            request_s=request_s,
            kills=kills.get(id_),
            history=figures[id_][1],
        )
        known[id_] = (at_s, details)


def _refresh_request_times(
    connection: Connection, deps: OperatorDeps, ids: Iterable[int], now: datetime
) -> None:
    """Read anew how long requests take, some workloads in a pass: decisions wait for it."""
    at_s, known = time.monotonic(), deps.memory.request_times
    pause_s = _TIMES_EVERY * deps.pace.figures_s
    due = [id_ for id_ in ids if id_ not in known or at_s - known[id_][0] >= pause_s]
    due = sorted(due, key=lambda id_: known.get(id_, _NEVER)[0])[:_TIMES_AT_ONCE]
    if due:
        found = load_request_times(connection, due, now)
        known |= {id_: (at_s, found.get(id_)) for id_ in due}


def _of_age(
    ids: Mapping[Key, int], known: Mapping[int, tuple[float, object]], most_s: float
) -> list[int]:
    """Workloads of which nothing is known, or what was read so long ago."""
    at_s = time.monotonic()
    return [id_ for id_ in ids.values() if id_ not in known or at_s - known[id_][0] >= most_s]


def to_figures(row: RowMapping) -> HistoryFigures:
    """Figures over the history from their row."""
    return HistoryFigures(row["coverage"], row["p50_s"], row["p90_s"], row["n_starts"] or 0)


def to_details(row: RowMapping) -> Details:
    """Details from their row, without the figures over the history."""
    levels, values = row["quantile_levels"] or (), row["next_step"] or ()
    promise = promise_figures(row["risk_state"])
    return Details(
        last_sample_at=row["last_sample_at"],
        model_version=row["model_version"],
        rung=row["rung"],
        origin_at=row["origin_at"],
        horizon_s=row["horizon_s"],
        reach_s=row["reach_s"],
        wanted_s=row["wanted_s"],
        next_step={
            level: value
            for level, value in zip(levels, values, strict=False)
            if status.is_shown(level)
        },
        measured=promise.measured_ratio,
        measured_low=promise.measured_low_ratio,
        measured_high=promise.measured_high_ratio,
        believed=promise.believed_ratio,
        budget_source=promise.source,
        budget_left=promise.left_ratio,
        budget_left_high=promise.left_high_ratio,
        budget_left_low=promise.left_low_ratio,
        sli_status=promise.sli_status,
        sli_message=promise.sli_message,
        censored_message=promise.demand_censored_message,
        unreachable_message=promise.goal_unreachable_message,
        not_capacity_message=promise.not_capacity_message,
        errors=tuple(row["errors"]),
    )


def report_statuses(
    deps: OperatorDeps, view: View, findings: PassFindings, now: datetime
) -> tuple[int, int]:
    """Write the statuses and Events that are due, those that waited longest first.

    A status that cannot be written is logged and comes later, after those that wait; scaling does
    not depend on it. One that is refused for what it is, or whose webhook fails, keeps no other
    from being written.

    Returns:
        Statuses written, and changed statuses that wait for the next pass.
    """
    due = _due(deps, view, findings, now)
    ends_s = time.monotonic() + deps.pace.budget_s
    n_written = n_tried = n_broken = 0
    for autoscaler in due:
        if n_tried and time.monotonic() >= ends_s:
            break
        deps.apply_waiting()
        built = _build(deps, view, autoscaler, findings, now)
        if built is None:
            continue
        report, after = built
        n_tried += 1
        try:
            _write(deps, report, after, now)
        except KubeError as error:
            _note_unwritten(deps, autoscaler, error)
            n_broken += not error.is_of_object
            if error.is_of_all or n_broken == _MOST_BROKEN:
                break
            continue
        n_broken = 0
        _drop_reported(deps, findings.ids.get(autoscaler.key, -1), report.done)
        n_written += 1
    _keep_unreported(deps, findings)
    _forget_gone(deps, view, findings)
    failing = deps.memory.failing.items()
    deps.memory.failing = {key: each for key, each in failing if each.is_known(now)}
    return n_written, len(due) - n_written


def _note_unwritten(deps: OperatorDeps, autoscaler: Autoscaler, error: KubeError) -> None:
    telemetry.reconcile_errors_total.labels("status").inc()
    log.warning("status_not_written", workload=autoscaler.name, error=error.message)
    if not error.is_missing:  # it comes after those that wait, and not before them
        deps.memory.reported_s[autoscaler.key] = time.monotonic()


def _due(deps: OperatorDeps, view: View, findings: PassFindings, now: datetime) -> list[Autoscaler]:
    """Autoscalers whose status is to be written.

    The statuses are built again then: those of a fleet would take much memory together.
    """
    found = []
    for autoscaler in view.autoscalers:
        deps.apply_waiting()
        built = _build(deps, view, autoscaler, findings, now)
        if built is not None and _is_due(deps, built[0].facts.autoscaler, built[1]):
            found.append(autoscaler)
    reported_s = deps.memory.reported_s
    return sorted(found, key=lambda autoscaler: reported_s.get(autoscaler.key, 0.0))


def _build(
    deps: OperatorDeps, view: View, autoscaler: Autoscaler, findings: PassFindings, now: datetime
) -> tuple[AutoscalerReport, Status] | None:
    """What is to be said of an autoscaler; None: it cannot be, and the others still are."""
    try:
        report = _report_of(deps, view, autoscaler, findings)
        return report, status.build(report, now)
    except Exception as error:  # whatever is odd about one must keep no other from its status
        telemetry.reconcile_errors_total.labels("status").inc()
        log.error("status_not_built", workload=autoscaler.name, exc_info=error)
        return None


def _drop_reported(deps: OperatorDeps, workload_id: int, shown: Sequence[TakenAction]) -> None:
    """Forget the actions that a status shows now; those done since it was built stay."""
    left = deps.memory.unreported.pop(workload_id, ())[len(shown) :]
    if left:
        deps.memory.unreported[workload_id] = left


def _keep_unreported(deps: OperatorDeps, findings: PassFindings) -> None:
    """Mark the actions as listed, since later passes list the targets again; drop deleted ones."""
    ids = set(findings.ids.values())
    deps.memory.unreported = {
        id_: tuple(replace(item, is_listed=True) for item in done[-_N_KEPT:])
        for id_, done in deps.memory.unreported.items()
        if id_ in ids
    }


def _report_of(
    deps: OperatorDeps, view: View, autoscaler: Autoscaler, findings: PassFindings
) -> AutoscalerReport:
    workload_id = findings.ids.get(autoscaler.key, -1)
    details = deps.memory.details.get(workload_id)
    settings, newest = deps.settings, findings.newest.get(workload_id)
    replicas = findings.replicas.get(autoscaler.key)
    done = deps.memory.unreported.get(workload_id, ())
    shown = orjson.loads(view.statuses.get(autoscaler.uid, b"{}"))
    autoscaler = replace(autoscaler, status=shown)
    facts = AutoscalerFacts(
        autoscaler,
        situation_of(view, autoscaler, replicas),
        newest,
        None if details is None else details[1],
        settings.step_s,
        settings.step_s * settings.stale_after_steps + settings.source_late_s,
        "" if newest is None else _last_result(newest, done, autoscaler),
        _patch_failure(deps, autoscaler),
    )
    return AutoscalerReport(facts, replicas, done)


def _patch_failure(deps: OperatorDeps, autoscaler: Autoscaler) -> str:
    """Why the scale of one of its targets could not be set when that was tried last."""
    for target in autoscaler.targets:
        failing = deps.memory.failing.get(target.key)
        if failing is not None:
            return f"{target.label} is left as it is: {failing.message}; it is tried again"
    return ""


def _last_result(
    newest: StoredDecision, done: Sequence[TakenAction], autoscaler: Autoscaler
) -> str:
    """Result of the newest decision: of this pass, as its status shows, or as it was stored."""
    own = [item.action.result for item in done if item.action.decision.id == newest.id]
    if own:
        return str(own[-1])
    shown = autoscaler.status.get("lastDecision") or {}
    return str(shown.get("result", "")) if shown.get("id") == newest.id else newest.last_result


def _is_due(deps: OperatorDeps, autoscaler: Autoscaler, after: Status) -> bool:
    if not status.merge_patch(autoscaler.status, after):
        return False
    last_s = deps.memory.reported_s.get(autoscaler.key)
    if last_s is not None and deps.memory.written.get(autoscaler.key) == _digest(after):
        # Written already, and yet it is not what the API server has: CRDs of an older version
        # prune what they do not know. Writing it again at each pass would change nothing.
        return time.monotonic() - last_s >= _PRUNED_S
    is_urgent = status.is_urgent(autoscaler.status, after)
    wait_s = deps.pace.change_s if is_urgent else deps.pace.figures_s
    return last_s is None or time.monotonic() - last_s >= wait_s


def _write(deps: OperatorDeps, report: AutoscalerReport, after: Status, now: datetime) -> None:
    autoscaler = report.facts.autoscaler
    patch = status.merge_patch(autoscaler.status, after)
    digest = _digest(after)
    if deps.memory.written.get(autoscaler.key) == digest:
        telemetry.reconcile_errors_total.labels("status_pruned").inc()
        log.warning(
            "status_pruned", workload=autoscaler.name, next="apply the CRDs of this version"
        )
    deps.kube.patch_status(autoscaler.namespace, autoscaler.name, patch)
    deps.memory.reported_s[autoscaler.key] = time.monotonic()
    deps.memory.written[autoscaler.key] = digest
    for notice in events.notices(report, after):
        event = events.to_event(autoscaler, notice, now)
        try:
            deps.kube.post_event(autoscaler.namespace, event)
        except KubeError as error:
            # the status shows it already: an Event that is lost must not hold up the others
            telemetry.reconcile_errors_total.labels("event").inc()
            log.warning("event_not_written", workload=autoscaler.name, error=error.message)
            return


def _digest(after: Status) -> bytes:
    return blake2b(orjson.dumps(after, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()


def _forget_gone(deps: OperatorDeps, view: View, findings: PassFindings) -> None:
    """Drop the memory of autoscalers that are gone."""
    keys, ids = {a.key for a in view.autoscalers}, set(findings.ids.values())
    memory = deps.memory
    memory.written = {key: digest for key, digest in memory.written.items() if key in keys}
    memory.reported_s = {key: at_s for key, at_s in memory.reported_s.items() if key in keys}
    memory.specs = {id_: spec for id_, spec in memory.specs.items() if id_ in ids}
    memory.states = {id_: state for id_, state in memory.states.items() if id_ in ids}
    memory.details = {id_: found for id_, found in memory.details.items() if id_ in ids}
    memory.figures = {id_: found for id_, found in memory.figures.items() if id_ in ids}
    memory.request_times = {id_: f for id_, f in memory.request_times.items() if id_ in ids}
