"""Whether pods that a scaling in takes have, and had, the time to finish their requests; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from services.operator.cluster.grace import Grace
from services.operator.cluster.kills import Kills
from services.operator.report.facts import FALSE, TRUE, UNKNOWN, AutoscalerFacts, Finding
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.resource.quantities import format_duration

_NAME = "GraceTooShort"
TargetGrace = tuple[ScaleTarget, Grace]


def grace_too_short(facts: AutoscalerFacts) -> Finding:
    """Whether pods had too little time, or 1 % of the requests take longer than they have.

    A request passes all pools, and how long it is in one of them is not measured.
    """
    if facts.details is None:
        return Finding(_NAME, UNKNOWN, "NotReadYet")
    graces = list(_graces(facts))
    kills = facts.details.kills
    shortest_s = min((grace.seconds for _, grace in graces), default=0.0)
    if kills is not None and shortest_s <= kills.grace_s:
        return Finding(_NAME, TRUE, "PodsKilled", _killed(kills, graces, facts.details.request_s))
    if not graces:
        message = "the target's pod template cannot be seen; look at its pods"
        return Finding(_NAME, UNKNOWN, "GraceUnknown", message)
    spec = facts.situation.spec
    if spec is not None and spec.pools:
        message = "a request passes several pools, and its time in one of them is not measured"
        return Finding(_NAME, UNKNOWN, "RequestTimeUnknown", message)
    request_s = facts.details.request_s
    if request_s is None:
        message = (
            "no time that requests take was measured in the last hour; give an indicator "
            "latency_p95_ms, or indicatorsFrom a preset that has it"
        )
        return Finding(_NAME, UNKNOWN, "RequestTimeUnknown", message)
    target, grace = min(graces, key=lambda pair: pair[1].seconds)
    if grace.seconds < request_s:
        return Finding(_NAME, TRUE, "RequestsOutlastGrace", _remedy(target, grace, request_s))
    unready = next((target for target, grace in graces if not grace.has_pre_stop), None)
    return Finding(_NAME, FALSE, "RequestsFitGrace", "" if unready is None else _hint(unready))


def _graces(facts: AutoscalerFacts) -> Iterator[TargetGrace]:
    """Grace of each target that has a pod template which can be seen."""
    if facts.situation.parts:
        targets = [part.target for part in facts.autoscaler.parts]
        situations = [part for _, part in facts.situation.parts]
    else:
        targets, situations = [facts.autoscaler.target], [facts.situation]
    for target, situation in zip(targets, situations, strict=False):
        if situation.grace is not None:
            yield target, situation.grace


def _killed(kills: Kills, graces: Sequence[TargetGrace], request_s: float | None) -> str:
    """What was cut off in the last day; nothing of it where the grace was made longer since."""
    pods = "1 pod" if kills.n_pods == 1 else f"{kills.n_pods} pods"
    had = "how many is not known" if kills.requests is None else f"{kills.requests:.0f} seen last"
    said = (
        f"{pods} that scalings in took in the last day had not ended after "
        f"{format_duration(kills.grace_s)} and were killed, the last at "
        f"{kills.last_at:%Y-%m-%dT%H:%M:%SZ}: the requests that they still had were cut off ({had})"
    )
    if not graces:
        return f"{said}; give its pods a longer terminationGracePeriodSeconds"
    target, grace = min(graces, key=lambda pair: pair[1].seconds)
    needed = (
        f"{math.ceil(request_s)} or more" if request_s and request_s > grace.seconds else "more"
    )
    return f"{said}; set {grace.field}={grace.seconds:.0f} of {target.label} to {needed}"


def _remedy(target: ScaleTarget, grace: Grace, request_s: float) -> str:
    needed_s = math.ceil(request_s)
    return (
        f"1 % of the requests of the last hour took {format_duration(needed_s)} or longer, and a "
        f"pod that is scaled in is killed after {format_duration(grace.seconds)}, with the "
        f"requests that it still has: set {grace.field}={grace.seconds:.0f} of {target.label} to "
        f"{needed_s} or more"
    )


def _hint(target: ScaleTarget) -> str:
    return (
        f"no container of {target.label} has lifecycle.preStop: requests may still be routed to a "
        "pod in the moment after SIGTERM; a preStop sleep of a few seconds keeps it serving then"
    )
