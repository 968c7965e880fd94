"""Apply open decisions: load them, plan, patch the targets, and give one action for each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from sys import intern
from typing import Any

import structlog
from sqlalchemy import Connection, RowMapping

from services.kernel import telemetry, tracing
from services.operator.cluster.targets import TargetState
from services.operator.plan.part_members import with_learned_ratios
from services.operator.plan.plan import (
    PlannedAction,
    Result,
    Situation,
    StoredDecision,
    decide_action,
    plan,
)
from services.operator.reconcile import repository
from services.operator.reconcile.apply_parts import apply_parts
from services.operator.reconcile.mark_victims import mark_victims
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View, situation_of
from services.operator.resource.autoscaler import Autoscaler, Key, ScaleTarget
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_ATTEMPTS = 4
_GONE = Situation(None, None, target_problem="its GPUAutoscaler was deleted")
_UNREACHABLE = 0


@dataclass(frozen=True, slots=True)
class OpenDecisions:
    """Decisions that need an action, and the newest decision of each workload."""

    decisions: dict[int, list[StoredDecision]]
    newest: dict[int, StoredDecision]
    max_id: int


def load_open_decisions(
    connection: Connection, deps: OperatorDeps, view: View, ids: Mapping[Key, int], now: datetime
) -> OpenDecisions:
    """Decisions without a final action, by workload id."""
    memory, version = deps.memory, deps.settings.policy_version
    rules = [autoscaler.approval for autoscaler in view.autoscalers]
    judged = [id_ for rule in rules for id_ in (rule.decision_id, rule.rejected_id) if id_]
    query = repository.DecisionQuery(version, memory.watermark.after_id, judged, now)
    found = [to_decision(row) for row in repository.load_open_decisions(connection, query)]
    newest = dict(memory.newest or {})
    unknown = [id_ for id_ in ids.values() if id_ not in newest]
    if unknown:
        for row in repository.load_newest_decisions(connection, unknown, version):
            newest[int(row["workload_id"])] = to_decision(row)
    decisions: dict[int, list[StoredDecision]] = defaultdict(list)
    for decision in found:
        decisions[decision.workload_id].append(decision)
        last = newest.get(decision.workload_id)
        if last is None or (decision.origin_at, decision.id) > (last.origin_at, last.id):
            newest[decision.workload_id] = decision
    seen = [decision.id for decision in (*found, *newest.values())]
    return OpenDecisions(decisions, newest, max(seen, default=0))


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
    )


def apply_decisions(
    deps: OperatorDeps, view: View, ids: Mapping[Key, int], found: OpenDecisions, now: datetime
) -> list[PlannedAction]:
    """Plan and patch; one action with its result per open decision.

    When the API server cannot be reached any longer, the decisions that were to be applied stay
    open for the next pass.
    """
    by_id = {ids[a.key]: a for a in view.autoscalers if a.key in ids}
    done: list[PlannedAction] = []
    is_reachable = True
    for workload_id, decisions in found.decisions.items():
        autoscaler = by_id.get(workload_id)
        if autoscaler is not None and autoscaler.parts:
            newest = found.newest.get(workload_id)
            patch = partial(_patch, deps, view) if is_reachable else None
            mixed = apply_parts(view, autoscaler, decisions, newest, patch, now)
            is_reachable &= mixed is not None
            done += mixed or []
            continue
        situation = _GONE if autoscaler is None else situation_of(view, autoscaler)
        for action in plan(decisions, found.newest.get(workload_id), situation, now):
            if not action.is_patch or autoscaler is None:
                done.append(_gone(action) if autoscaler is None else action)
            elif is_reachable:
                tried = _patch(deps, view, autoscaler, action, situation, now)
                is_reachable = tried is not None
                done += [] if tried is None else [tried]
    return done


def _gone(action: PlannedAction) -> PlannedAction:
    if action.result in (Result.SUPERSEDED, Result.EXPIRED):
        return action
    return action.with_result(Result.TARGET_MISSING, _GONE.target_problem)


def _patch(
    deps: OperatorDeps,
    view: View,
    autoscaler: Autoscaler,
    action: PlannedAction,
    situation: Situation,
    now: datetime,
) -> PlannedAction | None:
    target = view.target_of(autoscaler)
    if target is None:
        return action.with_result(Result.TARGET_MISSING, situation.target_problem)
    patch = ScalePatch(deps, autoscaler.target, situation, now)
    ids = _trace_ids(autoscaler, action)
    parent = tracing.parse_traceparent(action.decision.trace)
    with tracing.span("operator.patch_scale", parent, ids):
        mark_victims(deps, view, autoscaler, action)
        done = patch.send(action, target)
        if done is not None:
            log.info(
                "action",
                **ids,
                result=str(done.result),
                from_replicas=done.from_replicas,
                to_replicas=done.to_replicas,
                reason=done.reason,
            )
    return done


def _trace_ids(autoscaler: Autoscaler, action: PlannedAction) -> dict[str, str | int]:
    """Ids by which the patch is found in logs and traces."""
    return {
        "namespace": autoscaler.namespace,
        "workload": autoscaler.name,
        "workload_id": action.decision.workload_id,
        "forecast_id": action.decision.forecast_id,
        "decision_id": action.decision.id,
    }


@dataclass(frozen=True, slots=True)
class ScalePatch:
    """One patch of `/scale` with everything needed to try it again."""

    deps: OperatorDeps
    target: ScaleTarget
    situation: Situation
    now: datetime

    def send(self, action: PlannedAction, state: TargetState) -> PlannedAction | None:
        """Patch; None when the API server is away and nothing is known to have happened.

        A conflict means that the target changed since it was listed: it is read again, and the
        decision planned again against its present count. The version makes a second application
        impossible: after an attempt whose outcome is unknown, the version has moved if it worked.
        """
        version, is_unknown = state.resource_version, False
        failure: KubeError | None = None
        for _ in range(_ATTEMPTS):
            try:
                self.deps.kube.patch_scale(self.target, action.to_replicas or 0, version)
            except KubeError as error:
                failure = error
                if error.is_missing:
                    return action.with_result(Result.TARGET_MISSING, error.message)
                if not (error.is_conflict or error.is_ambiguous):
                    break
                is_unknown |= error.is_ambiguous
            else:
                return action
            try:
                scale = self.deps.kube.get_scale(self.target)
            except KubeError as error:
                if error.status == _UNREACHABLE:
                    return None
                failure = error
                break
            version = scale.resource_version
            if scale.replicas == action.from_replicas:
                continue
            if scale.replicas == action.to_replicas and is_unknown:
                return replace(action, reason=f"{action.reason}; confirmed after a broken answer")
            moved = replace(self.situation, replicas=scale.replicas)
            action = decide_action(action.decision, moved, self.now)
            if not action.is_patch:
                return action
        return action.with_result(Result.FAILED, str(failure) if failure else "no attempt worked")


def to_rows(actions: Sequence[PlannedAction], applied_at: datetime) -> list[tuple[Any, ...]]:
    """Rows of the `actions` table without their ids."""
    return [
        (
            action.decision.origin_at,
            action.decision.id,
            action.decision.workload_id,
            action.attempt,
            action.from_replicas,
            action.to_replicas,
            str(action.result),
            action.reason[:1000],
            applied_at,
        )
        for action in actions
    ]


def remember_decisions(
    deps: OperatorDeps, found: OpenDecisions, actions: Sequence[PlannedAction]
) -> None:
    """Note which decisions have been seen, once their actions are written.

    A decision that was left without an action holds the watermark back.
    """
    settled = {action.decision.id for action in actions}
    left = [
        decision.id
        for decisions in found.decisions.values()
        for decision in decisions
        if decision.id not in settled and decision.n_attempts == 0
    ]
    deps.memory.newest = found.newest
    deps.memory.watermark.note(time.monotonic(), min([found.max_id, *(id_ - 1 for id_ in left)]))


def count_actions(actions: Sequence[PlannedAction]) -> None:
    """Count the actions by result."""
    for action in actions:
        telemetry.actions_total.labels(str(action.result)).inc()
