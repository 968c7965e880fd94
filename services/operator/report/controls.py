"""Conditions that tell what people hold or set beside the object, and who ends that."""

from __future__ import annotations

from datetime import datetime

from services.operator.report.facts import FALSE, TRUE, AutoscalerFacts, Finding

_PAUSED_BY = {
    "annotation": ("PausedByAnnotation", "`kubectl harmony resume {name} -n {namespace}`"),
    "the API": ("PausedByApi", "DELETE /v1/workloads/{namespace}/{name}/pause"),
    "a freeze": ("PausedByFreeze", "lifting the freeze (GET /v1/freezes)"),
    "unreadable controls": (
        "UnreadableControls",
        "an operator as new as the API, or deleting its row of workload_controls,",
    ),
}
"""By the source of a pause: the reason, and how it is ended."""


def paused(facts: AutoscalerFacts, now: datetime) -> Finding:
    """Whether anything is held, by whom, and what ends it."""
    pause = facts.autoscaler.pause
    if pause.problem:
        message = f"nothing is applied until it can be read: {pause.problem}"
        return Finding("Paused", TRUE, "UnreadableAnnotation", message)
    own = facts.autoscaler
    reason, end = _PAUSED_BY.get(pause.source, _PAUSED_BY["annotation"])
    end = end.format(namespace=own.namespace, name=own.name)
    if pause.is_active(now):
        until = "" if pause.until is None else f" until {pause.until:%Y-%m-%dT%H:%M:%SZ}"
        return Finding("Paused", TRUE, reason, f"nothing is applied{until}; {end} ends it")
    if pause.is_scale_in:
        return Finding("Paused", TRUE, "ScaleInPaused", f"replicas are added only; {end} ends it")
    if pause.is_scale_out:
        message = f"replicas are removed only; {end} ends it"
        return Finding("Paused", TRUE, "ScaleOutPaused", message)
    return Finding("Paused", FALSE, "NotPaused")


def override_left_out(facts: AutoscalerFacts) -> Finding:
    """Whether a field that was set through the API does not fit the object."""
    own = facts.autoscaler
    if not own.left_out:
        return Finding("OverrideLeftOut", FALSE, "EveryOverrideFits")
    message = (
        f"set through the API and left out: {'; '.join(own.left_out)}; the rest that was set "
        f"holds; change the object, or PATCH /v1/workloads/{own.namespace}/{own.name}/policy"
    )
    return Finding("OverrideLeftOut", TRUE, "DoesNotFit", message)
