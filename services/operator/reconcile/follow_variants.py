"""Autoscalers with variants: what is seen of them, and how their decisions are followed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.kernel.domain.variants import unit_ages, whole_units
from services.operator.cluster.pods import Replicas, Seen, count_replicas
from services.operator.plan.plan import Decision, PlannedAction, Result, Situation, plan
from services.operator.plan.variant_members import decision_of, members_of, ratios
from services.operator.plan.variant_plan import Part, scale_in, waiting, whole_action, within_quota
from services.operator.reconcile.observe import View, situation_of
from services.operator.resource.autoscaler import Autoscaler

Patch = Callable[[Autoscaler, tuple[PlannedAction, Situation], datetime], PlannedAction | None]
"""Patches one target; None: the API server is away."""


def see_variants(view: View, autoscaler: Autoscaler, now: datetime) -> Seen | None:
    """Replicas of each variant and of all together; None where no target is there."""
    figures: dict[str, dict[str, Any]] = {}
    spec = ready = 0.0
    bound: list[tuple[float, float]] = []
    waiting_for_node: list[tuple[float, float]] = []
    members = zip(autoscaler.variants, members_of(autoscaler), ratios(autoscaler), strict=True)
    for variant, member, ratio in members:
        target = view.target_of(member)
        if target is None:
            continue
        replicas = count_replicas(view.replicas_of(member), now)
        room, _ = view.room(member, replicas)
        figures[variant.name] = {
            "spec": target.replicas,
            "ready": replicas.ready,
            "starting": replicas.starting,
            "pending": replicas.pending,
            "start_ages_s": [round(age, 3) for age in replicas.start_ages_s],
            "schedulable_gpus": room,
            "held": _held(situation_of(view, member)),
        }
        spec += target.replicas * ratio
        ready += replicas.ready * ratio
        bound += [(age, ratio) for age in replicas.start_ages_s[: replicas.starting]]
        waiting_for_node += [(age, ratio) for age in replicas.start_ages_s[replicas.starting :]]
    if not figures:
        return None
    starting, total = unit_ages(bound, ready)
    pending, _ = unit_ages(waiting_for_node, total)
    counts = Replicas(whole_units(ready), len(starting), len(pending), (*starting, *pending))
    return Seen(whole_units(spec), counts, None, figures)


def _held(situation: Situation) -> str:
    """Why a variant's count cannot be changed; advice is given as if it could."""
    if situation.spec is None or situation.spec.mode == "Advisory":
        return ""
    other = situation.conflict or situation.follower
    return f"{other} scales it" if other else ""


def follow(
    view: View,
    autoscaler: Autoscaler,
    given: tuple[Sequence[Decision], Decision | None],
    patch: Patch | None,
    now: datetime,
) -> list[PlannedAction] | None:
    """Plan and patch the variants of one autoscaler; one action per decision.

    Args:
        view: The cluster.
        autoscaler: It has variants.
        given: Its open decisions, and its newest one.
        patch: None: the API server is away, so what needs a patch is left to the next pass.
        now: Aware.

    Returns:
        The actions; None when the API server went away before anything could be told.
    """
    decisions, newest = given
    done: list[PlannedAction] = []
    for decision in decisions:
        parts = _parts(view, autoscaler, (decision, newest), now)
        if parts is None:
            reason = "it was made before these variants were; the next one knows them"
            situation = situation_of(view, autoscaler)
            action = PlannedAction(
                decision, Result.EXPIRED, reason, situation.replicas, decision.desired
            )
            done += [action] if decision.last_result != Result.EXPIRED else []
            continue
        if not parts:
            continue
        parts = _stopped(autoscaler, parts)
        if patch is None and any(part.action.is_patch for part in parts):
            return done or None
        carried = _carry_out(view, autoscaler, parts, patch, now)
        if carried is None:
            return done or None
        done.append(whole_action(decision, *carried))
    return done


def _parts(
    view: View,
    autoscaler: Autoscaler,
    given: tuple[Decision, Decision | None],
    now: datetime,
) -> list[Part] | None:
    """Every variant with what is to be done; empty: no news; None: the decision knows none."""
    decision, newest = given
    found: list[Part] = []
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
        found.append(Part(variant.name, ratio, ready, usd, actions[-1]))
    return found if is_known else None


def _by_quota(view: View, autoscaler: Autoscaler, parts: Sequence[Part]) -> dict[str, int]:
    """How far the namespace's quota, which is one for all variants, lets each of them rise."""
    quota = (view.quotas or {}).get(autoscaler.namespace)
    if quota is None:
        return {}
    gpus = {v.name: v.spec.gpus_per_replica for v in autoscaler.variants}
    return within_quota(parts, gpus, quota.free)


def _why_not(
    view: View, autoscaler: Autoscaler, part: Part, count: int, parts: Sequence[Part]
) -> str:
    if part.is_fall:
        return f"scale-in of {part.name} waits: {waiting(parts)}"
    quota = (view.quotas or {})[autoscaler.namespace]
    return (
        f"ResourceQuota/{quota.name} leaves {quota.free} GPUs: {part.name} gets {count} of "
        f"{part.wanted}"
    )


def _stopped(autoscaler: Autoscaler, parts: list[Part]) -> list[Part]:
    """Nothing is patched where every target was scaled to zero by hand."""
    spec = autoscaler.spec
    is_stopped = spec is not None and spec.min_replicas > 0 and not any(p.current for p in parts)
    if not is_stopped:
        return parts
    reason = "the targets were scaled to zero by hand; give one of them replicas to go on"
    return [
        replace(p, action=p.action.failed(Result.PAUSED, reason)) if p.is_rise else p for p in parts
    ]


def _carry_out(
    view: View,
    autoscaler: Autoscaler,
    parts: Sequence[Part],
    patch: Patch | None,
    now: datetime,
) -> tuple[list[Part], list[str]] | None:
    """Patch what is to be patched, first what rises.

    Returns:
        What was done, and why a scale-in waits; None when the API server went away: what was
        patched before that is found done by the next pass, which goes on from there.
    """
    names = [variant.name for variant in autoscaler.variants]
    by_name = dict(zip(names, members_of(autoscaler), strict=True))
    if any(part.action.result is Result.AWAITING_APPROVAL for part in parts):
        return list(parts), []
    done = {part.name: part for part in parts}
    reachable = scale_in(parts) | _by_quota(view, autoscaler, parts)
    held: list[str] = []
    for part in sorted((p for p in parts if p.action.is_patch), key=lambda p: not p.is_rise):
        action, count = part.action, reachable.get(part.name, part.wanted)
        if count != part.wanted:
            held.append(_why_not(view, autoscaler, part, count, parts))
            # what is planned again after a conflict must not go further either
            action = replace(
                action, to_replicas=count, decision=replace(action.decision, desired=count)
            )
        if count == part.current:
            done[part.name] = replace(part, action=action.failed(Result.PAUSED, held[-1]))
            continue
        member = by_name[part.name]
        assert patch is not None, "the caller returned when something is to be patched"
        tried = patch(member, (action, situation_of(view, member)), now)
        if tried is None:
            return None
        done[part.name] = replace(part, action=tried)
    return [done[part.name] for part in parts], held
