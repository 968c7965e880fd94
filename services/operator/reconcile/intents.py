"""Intents: what is about to be patched, committed before it is, and what became of it.

The patch and its row are in two systems, so an operator may end between them. Its intent stays, and
counts as applied for rate limits and budgets. The next pass, of this operator or of its successor,
looks at the targets and turns it into an action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Engine, RowMapping

from services.kernel.db.session import unit_of_work
from services.operator.kube.client import Scale
from services.operator.kube.failing_patches import FailingPatch
from services.operator.plan.part_members import members_of
from services.operator.plan.plan import MadePart, PlannedAction, Result, StoredDecision
from services.operator.plan.scaling import Scaling
from services.operator.reconcile import intents_repository, repository
from services.operator.reconcile.memory import OperatorDeps, PatchedScale
from services.operator.reconcile.observe import View, situation_of
from services.operator.resource.autoscaler import Autoscaler, Key, ScaleTarget, TargetKey
from services.operator.stored.columns import to_count, to_text
from services.operator.wire.discovery import may_be_of_kind
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

ACTIONS_CHANNEL = "harmony_actions"
_UNREACHABLE = 0


@dataclass(frozen=True, slots=True)
class ResolvedIntent:
    """An intent and what became of it.

    Attributes:
        to_replicas: Replicas of the workload afterwards, as far as they were seen.
        parts: What was announced for each target, as far as it may have been made.
    """

    intent: RowMapping
    result: Result
    reason: str
    to_replicas: int
    parts: tuple[MadePart, ...] = ()

    @property
    def key(self) -> tuple[int, int]:
        """Decision and attempt."""
        return self.intent["decision_id"], self.intent["attempt"]

    def to_row(self, applied_at: datetime) -> tuple[Any, ...]:
        """The row of `actions`, without its id."""
        one = self.intent
        return (
            one["origin_at"],
            one["decision_id"],
            one["workload_id"],
            one["attempt"],
            one["from_replicas"],
            to_count(self.to_replicas),
            str(self.result),
            to_text(self.reason),
            applied_at,
            parts_column(self.parts),
        )

    def to_action(self, decision: StoredDecision) -> PlannedAction:
        """The action of the decision, which is that of the intent."""
        from_replicas = self.intent["from_replicas"]
        counts = from_replicas, self.to_replicas
        return PlannedAction(decision, self.result, self.reason, *counts, parts=self.parts)


def parts_column(parts: Sequence[MadePart]) -> str | None:
    """`actions.parts` as JSON; None: one target, or nothing was scaled."""
    return orjson.dumps([part.to_json() for part in parts]).decode() if parts else None


def store_intents(
    connection: Connection, scalings: Sequence[Scaling], now: datetime
) -> set[tuple[int, int]]:
    """Announce scalings; the keys of those that this process may patch."""
    rows = [_row(scaling, now) for scaling in scalings]
    return intents_repository.store_intents(connection, rows)


def store_results(
    connection: Connection, rows: Sequence[tuple[Any, ...]], settled: Sequence[tuple[int, int]]
) -> None:
    """Store actions in place of the intents that they settle.

    A pass that was held up may find that another leader has announced a scaling of a decision
    meanwhile. What this pass has to say of that decision it judged before, so it is left out: it
    would take the place of the scaling's own record.

    Args:
        connection: An open transaction.
        rows: Rows of `actions`, without their ids.
        settled: Decision and attempt of each intent that goes.
    """
    if rows:
        intents_repository.lock_results(connection)
        announced = intents_repository.load_announced(connection, [row[1] for row in rows])
        others = {decision_id for decision_id, _ in announced.difference(settled)}
        repository.store_actions(connection, [row for row in rows if row[1] not in others])
        repository.notify(connection, ACTIONS_CHANNEL, "")
    intents_repository.delete_intents(connection, settled)


def announce_again(engine: Engine, scaling: Scaling, now: datetime) -> bool:
    """Announce a scaling from where its target is by now; False: another leader has settled it."""
    with unit_of_work(engine) as work:
        return intents_repository.move_intent(work.connection, _row(scaling, now))


def _row(scaling: Scaling, now: datetime) -> dict[str, Any]:
    decision_id, attempt = scaling.key
    action = scaling.action()
    targets = [
        {
            "name": change.name,
            "kind": scaling.members[change.name].target.kind,
            "api_version": scaling.members[change.name].target.api_version,
            "target": scaling.members[change.name].target.name,
            "from": change.current,
            "to": change.wanted,
            "ratio": change.ratio,
            "version": change.version,
        }
        for change in scaling.patches
    ]
    return {
        "decision_id": decision_id,
        "attempt": attempt,
        "origin_at": scaling.decision.origin_at.isoformat(),
        "workload_id": scaling.decision.workload_id,
        "from_replicas": to_count(action.from_replicas or 0),
        "to_replicas": to_count(action.to_replicas or 0),
        "targets": targets,
        "created_at": now.isoformat(),
    }


def resolve_intents(
    rows: Sequence[RowMapping], deps: OperatorDeps, view: View, ids: Mapping[Key, int]
) -> list[ResolvedIntent]:
    """Find out what became of intents that are open.

    The counts are read from the API server itself: a copy may be older than the patch. It may take
    its time for each, so no transaction may be open meanwhile. One whose patch had no answer stays
    open for as long as that may still be carried out.

    Raises:
        KubeError: The API server is away, so nothing can be found out now.
    """
    if not rows:
        return []
    by_id = {ids[a.key]: a for a in view.autoscalers if a.key in ids}
    names = {id_: key for key, id_ in ids.items()}
    found = []
    for row in rows:
        autoscaler = by_id.get(row["workload_id"])
        rival = "" if autoscaler is None else _rival(view, autoscaler)
        namespace = names.get(row["workload_id"], ("", ""))[0]
        seen = [_read(deps, view, namespace, target) for target in row["targets"]]
        unanswered = _unanswered(deps, namespace, row)
        messages = [each.message for each in unanswered.values()]
        resolved = resolve_intent(row, seen, rival, "; ".join(messages))
        may_come = any(each.may_come(deps.clock.now()) for each in unanswered.values())
        if resolved.result is Result.FAILED and may_come:
            continue
        log.warning(
            "intent_resolved",
            workload_id=row["workload_id"],
            decision_id=row["decision_id"],
            result=str(resolved.result),
            reason=resolved.reason,
        )
        found.append(resolved)
        _note_resolved(deps, resolved, unanswered)
    return found


def _rival(view: View, autoscaler: Autoscaler) -> str:
    """Another autoscaler that may have set the count."""
    situations = [situation_of(view, member) for member in members_of(autoscaler)]
    if any(not situation.is_conflict_known for situation in situations):
        return "another autoscaler, for they cannot be read,"
    return next((s.conflict or s.follower for s in situations if s.conflict or s.follower), "")


def _note_resolved(
    deps: OperatorDeps, resolved: ResolvedIntent, unanswered: Mapping[TargetKey, FailingPatch]
) -> None:
    """What was carried out after all fails no longer; what was not holds nothing of a budget."""
    for key, failing in unanswered.items():
        deps.memory.failing[key] = replace(failing, is_open=False)
        if resolved.result is Result.APPLIED:
            del deps.memory.failing[key]
        if resolved.result is Result.FAILED:
            deps.memory.patched.pop(key, None)


def _unanswered(
    deps: OperatorDeps, namespace: str, intent: RowMapping
) -> dict[TargetKey, FailingPatch]:
    """The patches of an intent that had no answer, by target."""
    keys = [_where(namespace, target).key for target in intent["targets"]]
    known = {key: deps.memory.failing[key] for key in keys if key in deps.memory.failing}
    return {key: each for key, each in known.items() if each.is_open}


def _where(namespace: str, target: Mapping[str, Any]) -> ScaleTarget:
    return ScaleTarget(target["api_version"], target["kind"], namespace, target["target"])


def _read(
    deps: OperatorDeps, view: View, namespace: str, target: Mapping[str, Any]
) -> Scale | None:
    """The scale of a target now; None: it is gone, or cannot be read.

    The view was listed before that: where it is older, what was read is noted for it.
    """
    if not namespace:
        return None
    where = _where(namespace, target)
    try:
        scale = deps.kube.get_scale(where)
    except KubeError as error:
        is_of_kind = may_be_of_kind(error, where.api_version, where.kind)
        if error.status == _UNREACHABLE and not is_of_kind:
            raise
        log.warning("intent_target_unreadable", target=where.label, error=error.message)
        return None
    listed = view.targets.states.get(where.key)
    if listed is not None and listed.resource_version != scale.resource_version:
        older, now = (listed.resource_version,), deps.clock.now()
        known = PatchedScale(older, scale.replicas, now, scale.resource_version)
        deps.memory.patched[where.key] = known
    return scale


def resolve_intent(
    intent: RowMapping, seen: Sequence[Scale | None], rival: str = "", unanswered: str = ""
) -> ResolvedIntent:
    """What became of one intent, by the counts of its targets; pure.

    A target that has its old count and another version may have been patched, and set back by
    another hand.

    Args:
        intent: Its row.
        seen: Scale of each of its targets now; None: not known.
        rival: Another autoscaler that scales a target; empty: none does.
        unanswered: Why the patch had no answer; empty: the operator was interrupted.
    """
    targets = intent["targets"]
    counts = [None if scale is None else scale.replicas for scale in seen]
    pairs = list(zip(targets, counts, strict=True))
    reached = [count == target["to"] for target, count in pairs]
    kept = [count == target["from"] for target, count in pairs]
    moved = [_has_moved(target, scale) for target, scale in zip(targets, seen, strict=True)]
    words = ", ".join(_words(target, count) for target, count in pairs)
    start = unanswered or "the operator was interrupted before it could store the result"
    if all(kept) and not any(moved):
        reason = f"{unanswered or 'the operator was interrupted before the patch'}: {words}"
        return ResolvedIntent(intent, Result.FAILED, reason, int(intent["to_replicas"]))
    why = ""
    if any(count is None for count in counts):
        why = "and the target cannot be read"
    elif all(kept):
        why = "and the target has changed since it was announced"
    elif not all(r or k for r, k in zip(reached, kept, strict=True)):
        why = "and another hand set the target since"
    elif rival:
        why = f"and {rival} may have scaled the target"
    after = _after(intent, pairs)
    if why:
        reason, parts = f"{start}, {why}: {words}", _parts(targets)
        return ResolvedIntent(intent, Result.UNKNOWN, reason, after, parts)
    reason = f"{start}; found by the count of the target: {words}"
    parts = _parts([t for t, r, m in zip(targets, reached, moved, strict=True) if r or m])
    return ResolvedIntent(intent, Result.APPLIED, reason, after, parts)


def _after(intent: RowMapping, pairs: Sequence[tuple[Mapping[str, Any], int | None]]) -> int:
    """Counted replicas of the workload as they were found; as announced where that is not known."""
    if any(count is None for _, count in pairs) or all(c == t["to"] for t, c in pairs):
        return int(intent["to_replicas"])
    added = sum(float(t["ratio"]) * (c - int(t["from"])) for t, c in pairs if c is not None)
    return int(intent["from_replicas"]) + round(added)


def _has_moved(target: Mapping[str, Any], scale: Scale | None) -> bool:
    """True where a target has another version than was announced; former operators wrote none."""
    version = target.get("version")
    return bool(version) and scale is not None and scale.resource_version != version


def _parts(targets: Sequence[Mapping[str, Any]]) -> tuple[MadePart, ...]:
    """What may have been made of targets: whoever finds their counts cannot tell whose they are."""
    return tuple(MadePart(t["name"], t["from"], t["to"], t["ratio"], False) for t in targets)


def _words(target: Mapping[str, Any], count: int | None) -> str:
    name = target["name"] or target["target"]
    if count is None:
        return f"{name} was to go from {target['from']} to {target['to']}"
    if count == target["to"]:
        return f"{name} has the {count} replicas asked for"
    if count == target["from"]:
        return f"{name} still has {count} replicas"
    return f"{name} has {count} replicas, neither {target['from']} nor {target['to']}"


def with_results(
    newest: dict[int, StoredDecision], resolved: Sequence[ResolvedIntent]
) -> list[PlannedAction]:
    """Note results at the newest decisions; the actions of those, for the statuses."""
    found = []
    for each in resolved:
        decision = newest.get(each.intent["workload_id"])
        if decision is not None and decision.id == each.intent["decision_id"]:
            found.append(each.to_action(decision))
            newest[decision.workload_id] = replace(decision, last_result=str(each.result))
    return found
