"""What keeps a workload from the replicas that are wanted: the condition `ScalingLimited`, pure.

With variants or pools, what holds back each of them is told with its name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from services.kernel.domain.schedules import bounds_at, freeze_at
from services.operator.plan.plan import Situation, StoredDecision
from services.operator.report.facts import FALSE, TRUE, UNKNOWN, AutoscalerFacts, Finding
from services.operator.report.stopped import stopped_by_hand

_NAME = "ScalingLimited"
_TRIED = ("applied", "waiting")
_NO_NODE = (
    "no node that takes its pods has free {gpu_type}GPUs; add nodes, or where nodes are added for "
    "pods set spec.supply of a GPUBudget (docs/supply.md); what pods of others that wait take "
    "first is not free"
)


def limited(facts: AutoscalerFacts, now: datetime) -> Finding:
    """What holds replicas back, or a decision below what is wanted."""
    newest, situation = facts.newest, facts.situation
    spec = situation.spec
    held = _of_parts(facts, _held)
    if held is not None:
        return held
    if newest is None or spec is None:
        return Finding(_NAME, UNKNOWN, "NoDecision")
    stopped = stopped_by_hand(newest, situation)
    if stopped:
        return Finding(_NAME, TRUE, "ScaledToZeroByHand", stopped)
    is_scale_in = situation.replicas is not None and newest.desired < situation.replicas
    if situation.rollout and is_scale_in:
        message = f"scaling in waits for the roll-out to end: {situation.rollout}"
        return Finding(_NAME, TRUE, "RolloutInProgress", message)
    waiting = _waiting_for_gpus(newest, facts)
    if waiting is not None:
        return waiting
    frozen = freeze_at(spec, now)
    if frozen is not None and newest.desired != newest.raw:
        message = f"schedule {frozen[1]} freezes {frozen[0]}; {newest.raw} replicas are wanted"
        return Finding(_NAME, TRUE, "FrozenBySchedule", message)
    return _bounded(newest, facts, *bounds_at(spec, now))


def _of_parts(
    facts: AutoscalerFacts, find: Callable[[Situation], Finding | None]
) -> Finding | None:
    """What is found of the target, or of each variant or pool with its name before it.

    The reason is that of the first of which something is found.
    """
    parts = facts.situation.parts
    if not parts:
        return find(facts.situation)
    found = []
    for part, (name, situation) in zip(facts.autoscaler.parts, parts, strict=False):
        own = find(situation)
        if own is not None:
            found.append((own, f"{part.spec.WORD} {name}: {own.message}"))
    if not found:
        return None
    return Finding(_NAME, TRUE, found[0][0].reason, "; ".join(words for _, words in found))


def _held(situation: Situation) -> Finding | None:
    """What holds back replicas of a target that are asked for."""
    if situation.failure:
        reason = "QuotaExceeded" if "exceeded quota" in situation.failure else "FailedCreate"
        return Finding(_NAME, TRUE, reason, f"pods cannot be created: {situation.failure}")
    if situation.limit == "refused" and situation.n_pending:
        message = f"{situation.n_pending} replicas wait for a node: {situation.supply}"
        return Finding(_NAME, TRUE, "ProvisioningRefused", message)
    claims = situation.claims
    if claims is not None and claims.is_known:
        return Finding(_NAME, TRUE, claims.reason, claims.message)
    if situation.n_gated:
        return Finding(_NAME, TRUE, "AwaitingAdmission", _gated(situation))
    return None


def _gated(situation: Situation) -> str:
    """Why replicas are held, and what lets them go."""
    held = f"{situation.n_gated} replicas are held by a scheduling gate"
    queue = situation.queue
    if queue is None:
        return f"{held} until whoever set it takes it away; see spec.schedulingGates of the pods"
    return f"{held} until Kueue admits them: {queue.message}"


def _bounded(newest: StoredDecision, facts: AutoscalerFacts, low: int, high: int) -> Finding:
    if newest.desired < newest.raw and newest.desired == high:
        message = f"{newest.raw} replicas are wanted; raise maxReplicas={high} to allow them"
        return Finding(_NAME, TRUE, "TooManyReplicas", message)
    if newest.desired > newest.raw and newest.desired == low:
        message = f"{newest.raw} replicas would do; lower minReplicas={low} to have fewer"
        return Finding(_NAME, TRUE, "TooFewReplicas", message)
    if newest.desired < newest.raw and newest.binding_constraint == "schedulable":
        return _short_of_gpus(newest, facts)
    if newest.desired != newest.raw:
        reason = capital_words(newest.binding_constraint or newest.reason)
        message = (
            f"{newest.raw} replicas are wanted, {newest.desired} decided: {newest.reason}; "
            "`kubectl harmony explain` shows which guard changed it by how much"
        )
        return Finding(_NAME, TRUE, reason, message)
    return Finding(_NAME, FALSE, "DesiredWithinRange")


def _short_of_gpus(newest: StoredDecision, facts: AutoscalerFacts) -> Finding:
    """What there are no GPUs for, and why: of variants and pools those that are short now."""
    found = _of_parts(facts, _want_of_gpus if facts.situation.parts else _short)
    why = found or Finding(_NAME, TRUE, "InsufficientGPUs", _NO_NODE.format(gpu_type=""))
    wanted = f"{newest.raw} replicas are wanted, GPUs are there for {newest.desired}"
    return Finding(_NAME, TRUE, why.reason, f"{wanted}: {why.message}")


def _waiting_for_gpus(newest: StoredDecision, facts: AutoscalerFacts) -> Finding | None:
    """What holds back replicas that were decided and are not asked for; None: nothing does.

    A decision was made alone: of GPUs that others ask for too it may have got a part, or none.
    """
    asked = facts.situation.replicas
    if facts.last_result not in _TRIED or asked is None or newest.desired <= asked:
        return None
    found = _of_parts(facts, _want_of_gpus)
    if found is None:
        return None
    message = f"{newest.desired} replicas are decided, {asked} are asked for: {found.message}"
    return Finding(_NAME, TRUE, found.reason, message)


def _want_of_gpus(situation: Situation) -> Finding | None:
    return _short(situation) if situation.is_short else None


def _short(situation: Situation) -> Finding:
    """Why there are no GPUs for more replicas of a target, and what would give it some."""
    if situation.limit.startswith("ResourceQuota/"):
        return Finding(_NAME, TRUE, "QuotaExceeded", f"raise {situation.limit} to allow more")
    queue = situation.queue
    if queue is not None and situation.limit == queue.name:
        return Finding(_NAME, TRUE, queue.reason, queue.message)
    if situation.limit == "refused":
        return Finding(_NAME, TRUE, "ProvisioningRefused", situation.supply)
    if situation.limit == "ceiling":
        message = f"{situation.supply}; raise that limit to allow more"
        return Finding(_NAME, TRUE, "SupplyCeiling", message)
    gpu_type = "" if situation.spec is None else f"{situation.spec.gpu_type} "
    why_fixed = f"; {situation.supply}" if situation.supply else ""
    message = _NO_NODE.format(gpu_type=gpu_type) + why_fixed
    return Finding(_NAME, TRUE, "InsufficientGPUs", message)


def capital_words(word: str) -> str:
    """A reason of a condition from a word of a decision: `rate_limit` is `RateLimit`."""
    return "".join(part.capitalize() for part in word.replace("-", "_").split("_")) or "Limited"
