"""Apply open decisions: load them, plan, limit, patch, and give one action for each.

A scaling is made in two phases: its intent is committed before the patch, its action after it. An
operator that ends in between leaves the intent, and whoever comes next finds out what became of it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from sys import intern
from typing import Any

import structlog
from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import DBAPIError

from services.kernel import telemetry
from services.kernel.db.session import unit_of_work
from services.operator.kube.failing_patches import SlowFailures, rounds
from services.operator.plan.leaving import beside_leaving, replace_leaving
from services.operator.plan.part_members import members_of, with_learned_ratios
from services.operator.plan.part_plan import PartChange
from services.operator.plan.plan import (
    AHEAD,
    PlannedAction,
    Result,
    Situation,
    StoredDecision,
    plan,
)
from services.operator.plan.scaling import WHOLE, Scaling
from services.operator.plan.spot import Leaving
from services.operator.reconcile import repository
from services.operator.reconcile.apply_parts import plan_parts, replace_leaving_parts
from services.operator.reconcile.gpu_use import FleetAtHand
from services.operator.reconcile.intents import parts_column, store_intents
from services.operator.reconcile.limits import limit_scalings
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View, situation_of
from services.operator.reconcile.patch_scales import patch_scalings
from services.operator.resource.autoscaler import Autoscaler, Key
from services.operator.stored.columns import to_count, to_text
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_EXTERNAL = "made over REST: its decisions are advice, and nothing in the cluster is touched"
_GONE = Situation(None, None, target_problem="its GPUAutoscaler was deleted")


@dataclass(slots=True)
class AppliedDecisions:
    """What came of the open decisions of a pass.

    Attributes:
        actions: To be stored.
        settled: Intents by decision and attempt that go when these are: it is known what became of
            them.
        ahead: By how much this process's clock is ahead of the database's, which tells when.
        slow: How long patches that failed took.
    """

    actions: list[PlannedAction] = field(default_factory=list)
    settled: list[tuple[int, int]] = field(default_factory=list)
    ahead: timedelta = timedelta()
    slow: SlowFailures = field(default_factory=SlowFailures)


@dataclass(frozen=True, slots=True)
class OpenDecisions:
    """Decisions that need an action, and the newest decision of each workload.

    Attributes:
        carried_out: Those of workloads of which replicas are about to go.
    """

    decisions: dict[int, list[StoredDecision]]
    newest: dict[int, StoredDecision]
    max_id: int
    carried_out: Mapping[int, StoredDecision] = field(default_factory=dict)


def load_open_decisions(
    connection: Connection, deps: OperatorDeps, view: View, ids: Mapping[Key, int], now: datetime
) -> OpenDecisions:
    """Decisions without a final action, by workload id."""
    memory, version = deps.memory, deps.settings.policy_version
    rules = [autoscaler.approval for autoscaler in view.autoscalers]
    judged = [id_ for rule in rules for id_ in (rule.decision_id, rule.rejected_id) if id_]
    query = repository.DecisionQuery(version, memory.watermark.after_id, judged, now)
    found = [to_decision(row) for row in repository.load_open_decisions(connection, query)]
    # one for a time to come is passed by none until then, and is never applied
    newest = {id_: one for id_, one in (memory.newest or {}).items() if not one.is_ahead(now)}
    # also of one whose autoscaler is gone: when it is back, a decision of before must not pass for
    # the newest because it alone is open
    asked = {*ids.values(), *(decision.workload_id for decision in found)}
    unknown = sorted(asked.difference(newest))
    if unknown:
        for row in repository.load_newest_decisions(connection, unknown, version, now + AHEAD):
            newest[int(row["workload_id"])] = to_decision(row)
    decisions: dict[int, list[StoredDecision]] = defaultdict(list)
    for decision in found:
        decisions[decision.workload_id].append(decision)
        last = newest.get(decision.workload_id)
        is_newer = last is None or (decision.origin_at, decision.id) > (last.origin_at, last.id)
        if is_newer and not decision.is_ahead(now):
            newest[decision.workload_id] = decision
    seen = [decision.id for decision in (*found, *newest.values())]
    return OpenDecisions(decisions, newest, max(seen, default=0))


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
        and any(view.leaving(member).replicas for member in members_of(autoscaler))
    ]
    if not wanted:
        return found
    version = deps.settings.policy_version
    rows = repository.load_newest_decisions(connection, wanted, version, now + AHEAD)
    newest: list[StoredDecision] = [to_decision(row) for row in rows]
    carried_out = {each.workload_id: each for each in newest if not each.is_ahead(now)}
    return replace(found, carried_out=carried_out)


def learned_view(view: View, ids: Mapping[Key, int], newest: Mapping[int, StoredDecision]) -> View:
    """The cluster with variants worth what each one's newest decision counts them as."""
    autoscalers = [
        with_learned_ratios(each, newest.get(ids.get(each.key, -1))) for each in view.autoscalers
    ]
    return replace(view, autoscalers=autoscalers)


def to_decision(row: RowMapping) -> StoredDecision:
    """A decision from its row."""
    trace = row["guard_trace"] or ()
    changed = tuple(str(s["guard"]) for s in trace if s.get("before") != s.get("after"))
    return StoredDecision(
        id=row["id"],
        workload_id=row["workload_id"],
        origin_at=row["origin_at"],
        decided_at=row["decided_at"],
        valid_until=row["valid_until"],
        current=row["current_replicas"],
        raw=row["raw_replicas"],
        desired=row["desired_replicas"],
        direction=intern(row["direction"]),
        reason=intern(row["reason"]),
        rung=intern(row["rung"]),
        risk_target=row["risk_target"],
        risk_estimated=row["risk_estimated"],
        cost_delta_usd_per_h=row["cost_delta_usd_per_h"],
        binding_constraint=intern(row["binding_constraint"] or "") or None,
        constraints=changed,
        is_budget_exhausted=bool(row["is_budget_exhausted"]),
        n_attempts=row["n_attempts"],
        last_result=intern(row["last_result"]),
        forecast_id=row["forecast_id"],
        trace=row["trace"] or "",
        parts={v["name"]: (v["current"], v["desired"]) for v in row["variants"] or ()},
        capacity_ratios={
            v["name"]: float(v["capacity_ratio"])
            for v in row["variants"] or ()
            if "capacity_ratio" in v
        },
        is_external=bool(row.get("is_external")),
        is_put_to_zero=bool(row["is_put_to_zero"]),
        parts_put_to_zero=tuple(row["parts_put_to_zero"]),
    )


def apply_decisions(
    deps: OperatorDeps, fleet: FleetAtHand, found: OpenDecisions, now: datetime
) -> AppliedDecisions:
    """Plan, limit and patch; one action with its result per open decision.

    What is patched has an intent first, in a transaction that is committed. What was slow to fail
    before comes after the others, in rounds of its own. When the API server cannot be reached any
    longer, the decisions that were to be applied stay open for the next pass. So do all of them
    where leadership has ended: another operator may have judged them since.
    """
    if not deps.may_write():
        return AppliedDecisions()
    planned = plan_decisions(fleet, found, now)
    _forget_failing(deps, fleet, planned.actions)
    applied, deps.memory.n_left = AppliedDecisions(planned.actions), 0
    first, second, *others = rounds(planned.scalings, deps.memory.failing, now)
    _carry_out(deps, fleet, first, found.newest, now, applied)
    for scalings in (second, *others):
        if applied.slow.is_over or not deps.may_write():
            deps.memory.n_left += len(second) if scalings is second else 0
            break
        try:
            _carry_out(deps, fleet, scalings, found.newest, now, applied)
        except (DBAPIError, KubeError) as error:  # what was patched before is stored all the same
            log.warning("round_left", error=str(error), next="tried by the next pass")
            break
    return applied


def _carry_out(
    deps: OperatorDeps,
    fleet: FleetAtHand,
    scalings: Sequence[Scaling],
    newest: Mapping[int, StoredDecision],
    now: datetime,
    applied: AppliedDecisions,
) -> None:
    """Limit, announce and patch one round of scalings; what came of them is added to `applied`."""
    if not scalings:
        return
    with unit_of_work(deps.engine) as work:
        ahead = limit_scalings(work.connection, deps, fleet, scalings, newest, now)
        made = [scaling for scaling in scalings if scaling.patches]
        stored = store_intents(work.connection, made, now)
    patched = patch_scalings(
        deps, fleet.view, [each for each in made if each.key in stored], now, applied.slow
    )
    actions = [*patched.actions, *(each.action() for each in scalings if each not in made)]
    waits = (Result.WAITING, str(Result.WAITING))
    applied.actions += [a for a in actions if (a.result, a.decision.last_result) != waits]
    applied.settled += patched.settled
    deps.memory.n_left += patched.n_left
    applied.ahead = ahead


def _forget_failing(
    deps: OperatorDeps, fleet: FleetAtHand, actions: Sequence[PlannedAction]
) -> None:
    """Forget failed patches of what is to be patched no longer."""
    failing = deps.memory.failing
    if not failing:
        return
    by_id = {fleet.ids[a.key]: a for a in fleet.view.autoscalers if a.key in fleet.ids}
    for action in actions:
        autoscaler = by_id.get(action.decision.workload_id)
        if autoscaler is not None and action.result not in (Result.SUPERSEDED, Result.EXPIRED):
            for key in (target.key for target in autoscaler.targets):
                if key in failing and not failing[key].is_open:
                    del failing[key]


@dataclass(slots=True)
class PlannedDecisions:
    """Actions of decisions that need no patch, and what is to be patched."""

    actions: list[PlannedAction] = field(default_factory=list)
    scalings: list[Scaling] = field(default_factory=list)


def plan_decisions(fleet: FleetAtHand, found: OpenDecisions, now: datetime) -> PlannedDecisions:
    """Plan every open decision; nothing is read or written."""
    by_id = {fleet.ids[a.key]: a for a in fleet.view.autoscalers if a.key in fleet.ids}
    planned = PlannedDecisions()
    for workload_id, decisions in found.decisions.items():
        autoscaler, newest = by_id.get(workload_id), found.newest.get(workload_id)
        if autoscaler is not None and autoscaler.parts:
            parts = plan_parts(fleet.view, autoscaler, decisions, newest, now)
            planned.actions += parts.actions
            scalings = parts.scalings
        else:
            situation = _GONE if autoscaler is None else situation_of(fleet.view, autoscaler)
            leaving = Leaving() if autoscaler is None else fleet.view.leaving(autoscaler)
            asked = [beside_leaving(each, leaving) for each in decisions]
            scalings = []
            for action in plan(asked, newest, situation, now):
                if autoscaler is None:
                    planned.actions.append(_gone(action))
                elif action.is_patch:
                    scalings.append(_scaling(fleet.view, autoscaler, action))
                else:
                    planned.actions.append(action)
        for scaling in scalings:
            scaling.has_waited = any(
                each.last_result == Result.WAITING and each.id != scaling.decision.id
                for each in decisions
            )
        planned.scalings += scalings
    for workload_id, decision in found.carried_out.items():
        autoscaler = by_id.get(workload_id)
        if autoscaler is not None and autoscaler.parts:
            replaced = replace_leaving_parts(fleet.view, autoscaler, decision, now)
            planned.scalings += [] if replaced is None else [replaced]
        elif autoscaler is not None:
            situation = situation_of(fleet.view, autoscaler)
            rise = replace_leaving(decision, fleet.view.leaving(autoscaler), situation, now)
            planned.scalings += [] if rise is None else [_scaling(fleet.view, autoscaler, rise)]
    return planned


def _scaling(view: View, autoscaler: Autoscaler, action: PlannedAction) -> Scaling:
    """The scaling of a workload of one target."""
    change = PartChange(WHOLE, 1.0, 0, 0.0, action, view.version_of(autoscaler))
    return Scaling(autoscaler, action.decision, {WHOLE: change}, {WHOLE: autoscaler})


def _gone(action: PlannedAction) -> PlannedAction:
    if action.result in (Result.SUPERSEDED, Result.EXPIRED):
        return action
    if action.decision.is_external:
        return action.with_result(Result.ADVISORY, _EXTERNAL)
    return action.with_result(Result.TARGET_MISSING, _GONE.target_problem)


def to_rows(actions: Sequence[PlannedAction], applied_at: datetime) -> list[tuple[Any, ...]]:
    """Rows of the `actions` table without their ids."""
    return [
        (
            action.decision.origin_at,
            action.decision.id,
            action.decision.workload_id,
            action.attempt,
            to_count(action.from_replicas),
            to_count(action.to_replicas),
            str(action.result),
            to_text(action.reason),
            applied_at,
            parts_column(action.parts),
        )
        for action in actions
    ]


def remember_decisions(
    deps: OperatorDeps, found: OpenDecisions, actions: Sequence[PlannedAction]
) -> None:
    """Note which decisions have been seen, once their actions are written.

    A decision that was left without an action, or that waits, holds the watermark back. So does the
    newest one of a workload whose target could not be patched: it is tried again.
    """
    results = {action.decision.id: str(action.result) for action in actions}
    left = [
        decision.id
        for decisions in found.decisions.values()
        for decision in decisions
        if results.get(decision.id, decision.last_result) in ("", Result.WAITING)
    ]
    failing = {each.workload_id for each in deps.memory.failing.values()}
    left += [decision.id for id_, decision in found.newest.items() if id_ in failing]
    deps.memory.newest = found.newest
    deps.memory.watermark.note(time.monotonic(), found.max_id, left)


def count_actions(cluster: str, actions: Sequence[PlannedAction]) -> None:
    """Count the actions of a cluster by result."""
    for action in actions:
        telemetry.actions_total.labels(cluster, str(action.result)).inc()
