"""Apply decisions to autoscalers with variants, and count the replicas of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.kernel.domain.variants import VariantStart, unit_ages, whole_units
from services.operator.cluster.pods import Replicas, ReplicaSnapshot, count_replicas
from services.operator.plan.plan import PlannedAction, Result, Situation, StoredDecision, plan
from services.operator.plan.variant_members import decision_of, members_of, ratios
from services.operator.plan.variant_plan import (
    VariantChange,
    describe_waiting,
    scale_in,
    whole_action,
    within_quota,
)
from services.operator.reconcile.observe import View, situation_of
from services.operator.resource.autoscaler import Autoscaler

Patch = Callable[[Autoscaler, PlannedAction, Situation, datetime], PlannedAction | None]
"""Patches one target; None: the API server is away."""


def count_variants(view: View, autoscaler: Autoscaler, now: datetime) -> ReplicaSnapshot | None:
    """Replicas of each variant and of all together; None where no target is there."""
    figures: dict[str, dict[str, Any]] = {}
    spec = ready = 0.0
    bound: list[VariantStart] = []
    waiting_for_node: list[VariantStart] = []
    members = zip(autoscaler.variants, members_of(autoscaler), ratios(autoscaler), strict=True)
    for variant, member, ratio in members:
        target = view.target_of(member)
        if target is None:
            continue
        replicas = count_replicas(view.replicas_of(member), now)
        room, _ = view.gpu_room(member, replicas)
        figures[variant.name] = {
            "spec": target.replicas,
            "ready": replicas.ready,
            "starting": replicas.starting,
            "pending": replicas.pending,
            "start_ages_s": [round(age, 3) for age in replicas.start_ages_s],
            "schedulable_gpus": room,
            "held": _held_by(situation_of(view, member)),
        }
        spec += target.replicas * ratio
        ready += replicas.ready * ratio
        starts = [VariantStart(age, ratio) for age in replicas.start_ages_s]
        bound += starts[: replicas.starting]
        waiting_for_node += starts[replicas.starting :]
    if not figures:
        return None
    starting, total = unit_ages(bound, ready)
    pending, _ = unit_ages(waiting_for_node, total)
    counts = Replicas(whole_units(ready), len(starting), len(pending), (*starting, *pending))
    return ReplicaSnapshot(whole_units(spec), counts, None, figures)


def _held_by(situation: Situation) -> str:
    """Why a variant's count cannot be changed; advice is given as if it could."""
    if situation.spec is None or situation.spec.mode == "Advisory":
        return ""
    other = situation.conflict or situation.follower
    return f"{other} scales it" if other else ""


def apply_variants(
    view: View,
    autoscaler: Autoscaler,
    decisions: Sequence[StoredDecision],
    newest: StoredDecision | None,
    patch: Patch | None,
    now: datetime,
) -> list[PlannedAction] | None:
    """Plan and patch the variants of one autoscaler; one action per decision.

    Args:
        view: The cluster.
        autoscaler: It has variants.
        decisions: Its open decisions.
        newest: Its newest decision.
        patch: None: the API server is away, so what needs a patch is left to the next pass.
        now: Aware.

    Returns:
        The actions; None when the API server went away before anything was done.
    """
    done: list[PlannedAction] = []
    for decision in decisions:
        changes = _plan_changes(view, autoscaler, decision, newest, now)
        if changes is None:
            reason = "it was made before these variants were; the next one knows them"
            situation = situation_of(view, autoscaler)
            action = PlannedAction(
                decision, Result.EXPIRED, reason, situation.replicas, decision.desired
            )
            done += [action] if decision.last_result != Result.EXPIRED else []
            continue
        if not changes:
            continue
        changes = _stopped(autoscaler, changes)
        if patch is None and any(change.action.is_patch for change in changes):
            return done or None
        applied = _patch_changes(view, autoscaler, changes, patch, now)
        if applied is None:
            return done or None
        done.append(whole_action(decision, *applied))
    return done


def _plan_changes(
    view: View,
    autoscaler: Autoscaler,
    decision: StoredDecision,
    newest: StoredDecision | None,
    now: datetime,
) -> list[VariantChange] | None:
    """The change of every variant; empty: nothing new to do; None: no variant is known."""
    found: list[VariantChange] = []
    is_known = False
    members = zip(autoscaler.variants, members_of(autoscaler), ratios(autoscaler), strict=True)
    for variant, member, ratio in members:
        own = decision_of(decision, variant.name)
        if own is None:
            continue
        is_known = True
        situation = situation_of(view, member)
        if situation.replicas is None and own.desired == 0 and own.last_result == "":
            continue  # a target that is not there is not asked for anything
        last = newest if newest is None or newest.id != decision.id else own
        actions = plan([own], last, situation, now)
        if not actions:
            continue
        usd = variant.spec.gpus_per_replica * variant.spec.price_usd_per_gpu_hour / ratio
        ready = count_replicas(view.replicas_of(member), now).ready
        found.append(VariantChange(variant.name, ratio, ready, usd, actions[-1]))
    return found if is_known else None


def _by_quota(
    view: View, autoscaler: Autoscaler, changes: Sequence[VariantChange]
) -> dict[str, int]:
    """Counts up to which each variant may rise under the namespace's quota, shared by all."""
    quota = (view.quotas or {}).get(autoscaler.namespace)
    if quota is None:
        return {}
    gpus = {v.name: v.spec.gpus_per_replica for v in autoscaler.variants}
    return within_quota(changes, gpus, quota.free)


def _limit_reason(
    view: View,
    autoscaler: Autoscaler,
    change: VariantChange,
    count: int,
    changes: Sequence[VariantChange],
) -> str:
    if change.is_fall:
        return f"scale-in of {change.name} waits: {describe_waiting(changes)}"
    quota = (view.quotas or {})[autoscaler.namespace]
    return (
        f"ResourceQuota/{quota.name} leaves {quota.free} GPUs: {change.name} gets {count} of "
        f"{change.wanted}"
    )


def _stopped(autoscaler: Autoscaler, changes: list[VariantChange]) -> list[VariantChange]:
    """Nothing is patched where every target was scaled to zero by hand."""
    spec = autoscaler.spec
    is_stopped = spec is not None and spec.min_replicas > 0 and not any(p.current for p in changes)
    if not is_stopped:
        return changes
    reason = "the targets were scaled to zero by hand; give one of them replicas to go on"
    return [
        replace(p, action=p.action.with_result(Result.PAUSED, reason)) if p.is_rise else p
        for p in changes
    ]


def _patch_changes(
    view: View,
    autoscaler: Autoscaler,
    changes: Sequence[VariantChange],
    patch: Patch | None,
    now: datetime,
) -> tuple[list[VariantChange], list[str]] | None:
    """Patch what is to be patched, first what rises.

    Returns:
        What was done, and why a scale-in waits; None when the API server went away: what was
        patched before that is found done by the next pass, which goes on from there.
    """
    names = [variant.name for variant in autoscaler.variants]
    by_name = dict(zip(names, members_of(autoscaler), strict=True))
    if any(change.action.result is Result.AWAITING_APPROVAL for change in changes):
        return list(changes), []
    done = {change.name: change for change in changes}
    reachable = scale_in(changes) | _by_quota(view, autoscaler, changes)
    held: list[str] = []
    for change in sorted((p for p in changes if p.action.is_patch), key=lambda p: not p.is_rise):
        action, count = change.action, reachable.get(change.name, change.wanted)
        if count != change.wanted:
            held.append(_limit_reason(view, autoscaler, change, count, changes))
            # what is planned again after a conflict must not go further either
            action = replace(
                action, to_replicas=count, decision=replace(action.decision, desired=count)
            )
        if count == change.current:
            done[change.name] = replace(change, action=action.with_result(Result.PAUSED, held[-1]))
            continue
        member = by_name[change.name]
        assert patch is not None, "the caller returned when something is to be patched"
        tried = patch(member, action, situation_of(view, member), now)
        if tried is None:
            return None
        done[change.name] = replace(change, action=tried)
    return [done[change.name] for change in changes], held
