"""Plan decisions about autoscalers with variants or pools, and count the replicas of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from services.kernel.domain.variants import VariantStart, unit_ages, whole_units
from services.operator.cluster.pods import Replicas, ReplicaSnapshot, SpotUse, count_replicas
from services.operator.cluster.quotas import GpuQuota
from services.operator.plan.leaving import beside_leaving, replace_leaving
from services.operator.plan.part_members import decision_of, members_of, ratios
from services.operator.plan.part_plan import (
    PartChange,
    describe_waiting,
    scale_in,
    within_quota,
)
from services.operator.plan.plan import (
    PlannedAction,
    Result,
    Situation,
    StoredDecision,
    is_stopped_by_hand,
    plan,
)
from services.operator.plan.scaling import Scaling
from services.operator.plan.spot import needs_spot, spot_use
from services.operator.reconcile.observe import View, situation_of
from services.operator.resource.autoscaler import Autoscaler, PartTarget


def count_parts(view: View, autoscaler: Autoscaler, now: datetime) -> ReplicaSnapshot | None:
    """Replicas of each part and of all together; None where no target is there."""
    figures: dict[str, dict[str, Any]] = {}
    own: list[tuple[str, Replicas]] = []
    spec = ready = 0.0
    bound: list[VariantStart] = []
    waiting_for_node: list[VariantStart] = []
    members = zip(autoscaler.parts, members_of(autoscaler), ratios(autoscaler), strict=True)
    for part, member, ratio in members:
        target = view.target_of(member)
        if target is None:
            continue
        pods = view.replicas_of(member)
        replicas = count_replicas(pods, now, is_live=view.is_live)
        own.append((part.name, replicas))
        room = view.gpu_room(member, replicas)
        figures[part.name] = {
            "spec": target.replicas,
            "ready": replicas.ready,
            "starting": replicas.starting,
            "pending": replicas.pending,
            "start_ages_s": [round(age, 3) for age in replicas.start_ages_s],
            "schedulable_gpus": room.gpus,
            "held": _held_by(situation_of(view, member)),
        }
        if room.on_new_nodes is not None:
            figures[part.name]["new_node_gpus"] = room.on_new_nodes
        if room.warm is not None:
            figures[part.name]["warm_gpus"] = room.warm
        on_spot = _spot_figures(view, member, spot_use(pods, view.spot, view.notices))
        if on_spot:
            figures[part.name]["spot"] = on_spot
        spec += target.replicas * ratio
        ready += replicas.ready * ratio
        starts = [VariantStart(age, ratio) for age in replicas.start_ages_s]
        bound += starts[: replicas.starting]
        waiting_for_node += starts[replicas.starting :]
    if not figures:
        return None
    starting, total = unit_ages(bound, ready)
    pending, _ = unit_ages(waiting_for_node, total)
    ages = (*starting, *pending)
    counts = Replicas(whole_units(ready), len(starting), len(pending), ages, parts=tuple(own))
    return ReplicaSnapshot(whole_units(spec), counts, None, figures)


def _spot_figures(view: View, member: Autoscaler, use: SpotUse) -> dict[str, Any]:
    """Replicas of a part on spot nodes; empty: none is, or can be said to go there."""
    target, spec = view.target_of(member), member.spec
    is_stated = spec is not None and spec.gpu_type in view.spot_types
    is_only = is_stated or (target is not None and needs_spot(target.shape))
    found = {} if use == SpotUse() else asdict(use)
    return found | ({"only": True} if is_only else {})


def _held_by(situation: Situation) -> str:
    """Why a part's count cannot be changed; advice is given as if it could.

    A follower changes it as it is decided.
    """
    if situation.spec is None or situation.spec.mode == "Advisory":
        return ""
    return f"{situation.conflict} scales it" if situation.conflict else ""


@dataclass(slots=True)
class PartsPlan:
    """Decisions about parts: the actions of those without a patch, and the other ones.

    Attributes:
        actions: Each decision's own.
        scalings: What is to be patched.
    """

    actions: list[PlannedAction] = field(default_factory=list)
    scalings: list[Scaling] = field(default_factory=list)


def plan_parts(
    view: View,
    autoscaler: Autoscaler,
    decisions: Sequence[StoredDecision],
    newest: StoredDecision | None,
    now: datetime,
) -> PartsPlan:
    """Plan the parts of one autoscaler; one action or one scaling per decision.

    Args:
        view: The cluster.
        autoscaler: It has variants or pools.
        decisions: Its open decisions.
        newest: Its newest decision.
        now: Aware.
    """
    found = PartsPlan()
    for decision in decisions:
        changes = _plan_changes(view, autoscaler, decision, newest, now)
        if changes is None:
            reason = f"it was made before these {_word(autoscaler)}s were; the next one knows them"
            situation = situation_of(view, autoscaler)
            action = PlannedAction(
                decision, Result.EXPIRED, reason, situation.replicas, decision.desired
            )
            found.actions += [action] if decision.last_result != Result.EXPIRED else []
            continue
        if not changes:
            continue
        scaling = _reachable(
            view, autoscaler, decision, _stopped(view, autoscaler, decision, changes)
        )
        if scaling.patches:
            found.scalings.append(scaling)
        else:
            found.actions.append(scaling.action())
    return found


def _plan_changes(
    view: View,
    autoscaler: Autoscaler,
    decision: StoredDecision,
    newest: StoredDecision | None,
    now: datetime,
) -> list[PartChange] | None:
    """The change of every part; empty: nothing new to do; None: no part is known."""
    found: list[PartChange] = []
    is_known = False
    members = zip(autoscaler.parts, members_of(autoscaler), ratios(autoscaler), strict=True)
    for part, member, ratio in members:
        own = decision_of(decision, part.name)
        if own is None:
            continue
        is_known = True
        situation = situation_of(view, member)
        own = beside_leaving(own, view.leaving(member))
        if situation.replicas is None and own.desired == 0 and own.last_result == "":
            continue  # a target that is not there is not asked for anything
        last = newest if newest is None or newest.id != decision.id else own
        actions = plan([own], last, situation, now)
        if actions:
            found.append(_change(view, member, part, ratio, actions[-1], now))
    return found if is_known else None


def _change(
    view: View,
    member: Autoscaler,
    part: PartTarget,
    ratio: float,
    action: PlannedAction,
    now: datetime,
) -> PartChange:
    usd = part.spec.gpus_per_replica * part.spec.price_usd_per_gpu_hour / ratio
    ready = count_replicas(view.replicas_of(member), now, is_live=view.is_live).ready
    return PartChange(part.name, ratio, ready, usd, action, view.version_of(member))


def replace_leaving_parts(
    view: View, autoscaler: Autoscaler, decision: StoredDecision, now: datetime
) -> Scaling | None:
    """The rises that replace replicas under a decision that was carried out; None: there is none.

    Each part is as one target: see `services.operator.plan.leaving.replace_leaving`.

    Args:
        view: The cluster.
        autoscaler: It has variants or pools.
        decision: Its newest decision.
        now: Aware.
    """
    changes: list[PartChange] = []
    members = zip(autoscaler.parts, members_of(autoscaler), ratios(autoscaler), strict=True)
    for part, member, ratio in members:
        own, situation = decision_of(decision, part.name), situation_of(view, member)
        if own is None or situation.replicas is None:
            continue
        n = situation.replicas
        stays = PlannedAction(own, Result.UNCHANGED, f"the target has {n} replicas already", n, n)
        rise = replace_leaving(own, view.leaving(member), situation, now)
        changes.append(_change(view, member, part, ratio, rise or stays, now))
    if not any(change.is_rise for change in changes):
        return None
    scaling = _reachable(view, autoscaler, replace(decision, reason="interruption"), changes)
    return scaling if scaling.patches else None


def _word(autoscaler: Autoscaler) -> str:
    return autoscaler.parts[0].spec.WORD


def _scale_in(autoscaler: Autoscaler, changes: Sequence[PartChange]) -> dict[str, int]:
    """Counts to which each part may come down now: a pool's replicas stand in for no other's."""
    if autoscaler.spec is not None and autoscaler.spec.pools:
        return {name: count for one in changes for name, count in scale_in([one]).items()}
    return scale_in(changes)


def _by_quota(view: View, autoscaler: Autoscaler, changes: Sequence[PartChange]) -> dict[str, int]:
    """Counts up to which each part may rise under the quota on what it asks for.

    All parts that ask for the same resource share one.
    """
    gpus = {part.name: part.spec.gpus_per_replica for part in autoscaler.parts}
    quotas = _quotas(view, autoscaler)
    found: dict[str, int] = {}
    for quota in set(quotas.values()):
        sharing = [each for each in changes if quotas.get(each.name) == quota]
        found |= within_quota(sharing, gpus, quota.free)
    return found


def _quotas(view: View, autoscaler: Autoscaler) -> dict[str, GpuQuota]:
    """The quota of each part that has one, by name."""
    members = zip(autoscaler.parts, members_of(autoscaler), strict=True)
    found = ((part.name, view.quota_of(member)) for part, member in members)
    return {name: quota for name, quota in found if quota is not None}


def _limit_reason(
    view: View,
    autoscaler: Autoscaler,
    change: PartChange,
    count: int,
    changes: Sequence[PartChange],
) -> str:
    if change.is_fall:
        return f"scale-in of {change.name} waits: {describe_waiting(changes)}"
    quota = _quotas(view, autoscaler)[change.name]
    return (
        f"ResourceQuota/{quota.name} leaves {quota.free} GPUs: {change.name} gets {count} of "
        f"{change.wanted}"
    )


def _stopped(
    view: View, autoscaler: Autoscaler, decision: StoredDecision, changes: list[PartChange]
) -> list[PartChange]:
    """Nothing is patched where every target was scaled to zero by hand."""
    if not is_stopped_by_hand(decision, situation_of(view, autoscaler)):
        return changes
    reason = "the targets were scaled to zero by hand; give one of them replicas to go on"
    return [
        replace(p, action=p.action.with_result(Result.PAUSED, reason)) if p.is_rise else p
        for p in changes
    ]


def _reachable(
    view: View, autoscaler: Autoscaler, decision: StoredDecision, changes: Sequence[PartChange]
) -> Scaling:
    """The scaling as far as replicas that are ready, and the namespace's quota, let it go now."""
    names = [part.name for part in autoscaler.parts]
    members = dict(zip(names, members_of(autoscaler), strict=True))
    scaling = Scaling(autoscaler, decision, {each.name: each for each in changes}, members)
    waiting = [p.action for p in changes if p.action.result is Result.AWAITING_APPROVAL]
    if waiting:
        for change in scaling.patches:
            waits = change.action.with_result(Result.AWAITING_APPROVAL, waiting[0].reason)
            scaling.changes[change.name] = replace(change, action=waits)
        return scaling
    reachable = _scale_in(autoscaler, changes) | _by_quota(view, autoscaler, changes)
    for change in sorted(scaling.patches, key=lambda p: not p.is_rise):
        action, count = change.action, reachable.get(change.name, change.wanted)
        if count == change.wanted:
            continue
        scaling.held.append(_limit_reason(view, autoscaler, change, count, changes))
        # what is planned again after a conflict must not go further either
        capped = replace(action.decision, desired=count)
        action = replace(action, to_replicas=count, decision=capped)
        if count == change.current:
            action = action.with_result(Result.PAUSED, scaling.held[-1])
        scaling.changes[change.name] = replace(change, action=action)
    return scaling
