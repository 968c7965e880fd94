"""Patch the targets of scalings: first all that go down, then all that go up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import DBAPIError

from services.kernel import telemetry, tracing
from services.operator.cluster.pods import COST_ANNOTATION, MARK_ANNOTATION
from services.operator.cluster.targets import TargetState
from services.operator.kube.failing_patches import QUICK_S, FailingPatch, SlowFailures
from services.operator.plan.part_plan import PartChange
from services.operator.plan.plan import PlannedAction, Result, Situation, decide_action
from services.operator.plan.rates import TargetRates, yields_to_budget
from services.operator.plan.scaling import WHOLE, Scaling
from services.operator.plan.victims import marks
from services.operator.reconcile.intents import announce_again
from services.operator.reconcile.memory import OperatorDeps, PatchedScale
from services.operator.reconcile.observe import View, situation_of
from services.operator.resource.autoscaler import Autoscaler, ScaleTarget
from services.operator.stored.in_flight_repository import load_in_flight
from services.operator.wire.discovery import may_be_of_kind
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_ATTEMPTS = 4
_UNREACHABLE = 0
_READINGS = 3
"""Requests in flight that were read more than so many pulls ago are not known any more."""
_LEFT = "left to the next pass: another patch of its namespace failed slowly"
_FOLLOWED_BY = ("Deployment", "ReplicaSet")
"""Kinds whose controller goes by deletion costs; a StatefulSet gives up its highest ordinals."""


@dataclass(slots=True)
class PatchedScalings:
    """What came of scalings.

    Attributes:
        actions: Of those of which it is known.
        settled: Their intents, and those of what was never tried.
        n_left: Scalings that are left to the next pass since another patch failed slowly.
    """

    actions: list[PlannedAction] = field(default_factory=list)
    settled: list[tuple[int, int]] = field(default_factory=list)
    n_left: int = 0


def patch_scalings(
    deps: OperatorDeps,
    view: View,
    scalings: Sequence[Scaling],
    now: datetime,
    slow: SlowFailures | None = None,
) -> PatchedScalings:
    """Patch every target, falls before rises, so that no sum over the fleet overshoots.

    Once the API server is away nothing more is tried. A scaling of which some target was tried
    without an answer, or was not tried after another one, keeps its intent for the next pass. After
    a patch that failed slowly, others of its namespace are left to the next pass too.
    """
    slow = slow or SlowFailures()
    order = [(scaling, change) for scaling in scalings for change in scaling.patches]
    order.sort(key=lambda pair: pair[1].is_rise)
    n_left = {scaling.key: len(scaling.patches) for scaling in scalings}
    tried: set[tuple[int, int]] = set()
    left: set[tuple[int, int]] = set()
    in_flight = _in_flight(deps, [change for _, change in order])
    for scaling, change in order:
        if not deps.may_write():
            break
        member = scaling.members[change.name]
        if slow.leaves(member.namespace):
            left.add(scaling.key)
            if scaling.key in tried:
                waits = change.action.with_result(Result.WAITING, _LEFT)
                scaling.changes[change.name] = replace(change, action=waits)
                n_left[scaling.key] -= 1
            continue
        tried.add(scaling.key)
        requests = in_flight.get(change.action.decision.workload_id, {})
        took_s = _mark_victims(deps, view, member, change.action, requests, now)
        slow.note(member.namespace, took_s)
        try:
            done = _patch(deps, view, scaling, change, now, slow)
        except KubeError as error:
            log.warning("patch_unanswered", workload=member.name, error=error.message)
            continue
        if done is None:
            slow.is_away = True
            break
        scaling.changes[change.name] = replace(change, action=done)
        n_left[scaling.key] -= 1
    found = PatchedScalings(n_left=len(left))
    for scaling in scalings:
        if n_left[scaling.key] == 0:
            found.actions.append(scaling.action())
        if n_left[scaling.key] == 0 or scaling.key not in tried:
            found.settled.append(scaling.key)
    return found


def _patch(
    deps: OperatorDeps,
    view: View,
    scaling: Scaling,
    change: PartChange,
    now: datetime,
    slow: SlowFailures,
) -> PlannedAction | None:
    autoscaler, action = scaling.members[change.name], change.action
    situation, target = situation_of(view, autoscaler), view.target_of(autoscaler)
    if target is None:
        return action.with_result(Result.TARGET_MISSING, situation.target_problem)

    def announce(moved: PlannedAction, version: str) -> bool:
        scaling.changes[change.name] = replace(change, action=moved, version=version)
        return announce_again(deps.engine, scaling, now)

    limit = scaling.limits.get(change.name)
    patch = ScalePatch(deps, autoscaler.target, situation, now, limit, announce)
    ids = _trace_ids(autoscaler, action)
    part = {} if change.name == WHOLE else {"part": change.name}
    parent = tracing.parse_traceparent(action.decision.trace)
    with tracing.span("operator.patch_scale", parent, ids):
        done = _send(patch, action, target, slow)
        if done is not None:
            log.info(
                "action",
                **ids,
                **part,
                result=str(done.result),
                from_replicas=done.from_replicas,
                to_replicas=done.to_replicas,
                reason=done.reason,
            )
    return done


def _send(
    patch: ScalePatch, action: PlannedAction, state: TargetState, slow: SlowFailures
) -> PlannedAction | None:
    """Send a patch, and remember it where it fails."""
    deps, key, started_s = patch.deps, patch.target.key, time.monotonic()
    done, message, is_open = None, "", False
    try:
        done = patch.send(action, state)
        if done is not None and done.result in (Result.FAILED, Result.UNKNOWN):
            message = done.reason
        elif done is not None:
            deps.memory.failing.pop(key, None)
    except KubeError as error:
        message, is_open = error.message, True
        raise
    finally:
        if message:
            failed = _failed(deps, message, started_s)
            slow.note(key[2], failed.took_s)
            id_ = action.decision.workload_id
            deps.memory.note_failing(key, replace(failed, workload_id=id_, is_open=is_open))
    return done


def _failed(deps: OperatorDeps, message: str, started_s: float) -> FailingPatch:
    """A patch that was begun at monotonic time `started_s` and failed now."""
    now = deps.clock.now()
    return FailingPatch(message, now, now, time.monotonic() - started_s)


def _mark_victims(
    deps: OperatorDeps,
    view: View,
    autoscaler: Autoscaler,
    action: PlannedAction,
    in_flight: Mapping[str, float],
    now: datetime,
) -> float:
    """Set deletion costs where they change which pods go.

    Nothing depends on it: a mark that cannot be written is logged, and the scaling goes on. Where
    that was slow, the pods of the namespace are left unmarked for a while.

    Returns:
        Seconds that one took which failed.
    """
    key = ("", "Pod", autoscaler.namespace, "")
    failing = deps.memory.failing.get(key)
    if failing is not None and not failing.is_due(deps.clock.now()):
        return 0.0
    from_replicas, to_replicas = action.from_replicas or 0, action.to_replicas or 0
    is_followed = autoscaler.target.kind in _FOLLOWED_BY
    if not deps.settings.operator_deletion_cost or not is_followed or to_replicas >= from_replicas:
        return 0.0
    for each in marks(view.pods_of(autoscaler), to_replicas, now, in_flight):
        value = None if each.cost is None else str(each.cost)
        annotations = {COST_ANNOTATION: value, MARK_ANNOTATION: value}
        started_s = time.monotonic()
        try:
            deps.kube.annotate_pod(each.pod.namespace, each.pod.name, annotations)
            deps.memory.failing.pop(key, None)
        except KubeError as error:
            if error.is_missing:
                continue
            failed = _failed(deps, error.message, started_s)
            deps.memory.note_failing(key, failed)
            telemetry.reconcile_errors_total.labels("deletion_cost").inc()
            log.warning("pod_not_marked", pod=each.pod.name, error=error.message)
            return failed.took_s
    return 0.0


def _in_flight(
    deps: OperatorDeps, changes: Sequence[PartChange]
) -> Mapping[int, Mapping[str, float]]:
    """Requests in flight on each pod by workload, as far as ingest has read them lately."""
    falls = {each.action.decision.workload_id for each in changes if not each.is_rise}
    if not falls or not deps.settings.operator_deletion_cost:
        return {}
    now = deps.clock.now()
    oldest = now - timedelta(seconds=_READINGS * deps.settings.pull_interval_s)
    try:
        with deps.engine.connect() as connection:
            return load_in_flight(connection, sorted(falls), oldest)
    except DBAPIError as error:
        telemetry.reconcile_errors_total.labels("deletion_cost").inc()
        log.warning("requests_not_read", error=str(error.orig))
        return {}


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
    """One patch of `/scale` with everything needed to try it again.

    Attributes:
        announce: Called before a patch from another count than was announced, with the version
            that it starts from; where it gives False, the scaling is not this process's any longer.
    """

    deps: OperatorDeps
    target: ScaleTarget
    situation: Situation
    now: datetime
    limit: TargetRates | None = None
    announce: Callable[[PlannedAction, str], bool] = lambda *_: True

    def send(self, action: PlannedAction, state: TargetState) -> PlannedAction | None:
        """Patch; None where the API server is away, or the scaling is another leader's by now.

        A conflict means that the target changed since it was listed: it is read again, and the
        decision planned again against its present count. The version makes a second application
        impossible: after an attempt whose outcome is unknown, the version has moved if it worked.
        Where the target cannot be read after such an attempt either, or another hand has changed it
        since, the result is unknown. What was to fall and would rise from there waits for the next
        pass, which sees whether a GPU budget has room for it. What failed slowly is not sent again,
        nor is a custom kind asked that does not answer in time: other targets wait meanwhile.

        Raises:
            KubeError: A slow attempt had no answer, and may still be carried out.
        """
        started_s = time.monotonic()
        was_fall = (action.to_replicas or 0) < (action.from_replicas or 0)
        version, is_unknown, is_unconfirmed = state.resource_version, False, False
        older: tuple[str, ...] = ()
        known, key, is_slow = self.deps.memory.patched, self.target.key, False
        failure = KubeError(_UNREACHABLE, "", "no attempt worked")
        for _ in range(_ATTEMPTS):
            older += (version,)
            if (refused := self._attempt(action, version, older)) is None:
                return action
            failure = refused
            if failure.is_missing:
                return action.with_result(Result.TARGET_MISSING, failure.message)
            is_unknown, is_unconfirmed = is_unknown or failure.is_ambiguous, failure.is_ambiguous
            is_slow = time.monotonic() - started_s > QUICK_S
            if not self._is_worth_a_look(failure):
                break
            try:
                scale = self.deps.kube.get_scale(self.target)
            except KubeError as error:
                if error.status == _UNREACHABLE and not self._may_be_of_kind(error):
                    return None
                failure = error
                break
            version, is_unconfirmed = scale.resource_version, False
            known[key] = PatchedScale(older, scale.replicas, self.now, version)
            if is_unknown and version not in older and scale.replicas != action.to_replicas:
                reason = f"{failure}; since then another hand has set {scale.replicas} replicas"
                return action.with_result(Result.UNKNOWN, reason)
            if scale.replicas == action.to_replicas and (is_unknown or self._was_tried(action)):
                reason = f"{action.reason}; confirmed after a broken answer"
                return replace(action, reason=reason, is_sure=False)
            if is_slow:
                break
            if scale.replicas == action.from_replicas:
                continue
            action = self._planned_again(action, scale.replicas, was_fall=was_fall)
            if not action.is_patch:
                return action
            if not self.announce(action, version):
                return None
        if is_slow and not is_unconfirmed and failure.status == _UNREACHABLE:
            known[key] = PatchedScale(older, action.to_replicas or 0, self.now)  # budgets count it
            raise failure
        result = Result.UNKNOWN if is_unconfirmed else Result.FAILED
        return action.with_result(result, failure.message)

    def _attempt(
        self, action: PlannedAction, version: str, older: tuple[str, ...]
    ) -> KubeError | None:
        """Patch once, and remember what is known of the target then; the error, or None."""
        known, key = self.deps.memory.patched, self.target.key
        known[key] = PatchedScale(older, action.to_replicas or 0, self.now)
        try:
            made = self.deps.kube.patch_scale(self.target, action.to_replicas or 0, version)
        except KubeError as error:
            if not (error.is_missing or error.is_ambiguous):
                known[key] = PatchedScale(older, action.from_replicas or 0, self.now)
            return error
        known[key] = PatchedScale(older, made.replicas, self.now, made.resource_version)
        return None

    def _is_worth_a_look(self, failure: KubeError) -> bool:
        """True where the target may have changed, and can be read."""
        is_moved = failure.is_conflict or failure.is_ambiguous
        return is_moved and not self._may_be_of_kind(failure)

    def _may_be_of_kind(self, error: KubeError) -> bool:
        return may_be_of_kind(error, self.target.api_version, self.target.kind)

    def _planned_again(
        self, action: PlannedAction, replicas: int, *, was_fall: bool
    ) -> PlannedAction:
        """The action from where another hand left the target."""
        moved = replace(self.situation, replicas=replicas)
        again = self._limited(decide_action(action.decision, moved, self.now))
        if was_fall and again.is_patch and (again.to_replicas or 0) > replicas:
            reason = f"another hand has set {replicas} replicas: the next pass looks again"
            return again.with_result(Result.WAITING, reason)
        return again

    def _was_tried(self, action: PlannedAction) -> bool:
        """A former leader's patch of the same decision may have arrived after it was given up."""
        return action.decision.last_result == Result.FAILED

    def _limited(self, action: PlannedAction) -> PlannedAction:
        """An action that was planned again, within the rate limits from where the target is now."""
        if self.limit is None or not action.is_patch:
            return action
        current, wanted = action.from_replicas or 0, action.to_replicas or 0
        decision = action.decision
        if wanted < current and yields_to_budget(decision.binding_constraint, decision.constraints):
            return action
        count = self.limit.furthest(current, wanted)
        if count == wanted:
            return action
        if count == current:
            return action.with_result(Result.WAITING, f"the rate limit holds it at {current}")
        capped = replace(action.decision, desired=count)
        return replace(action, to_replicas=count, decision=capped)
