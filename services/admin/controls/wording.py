"""Changes of a policy in words, with what follows from each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.admin.controls.schemas import PolicyView
from services.admin.rest import formats
from services.admin.workloads.schemas import WorkloadView
from services.kernel.errors import PreconditionFailed

OWN = "the GPUAutoscaler's own"
LABELS = {
    "mode": "Mode",
    "min_replicas": "At least, replicas",
    "max_replicas": "At most, replicas",
    "epsilon": "Promise",
    "price_usd_per_gpu_hour": "Price of a GPU-hour",
    "fallback_replicas": "Replicas while nothing is known",
}
_PROMISED = {
    "TimeFraction": "time out of SLA at most",
    "DemandFraction": "requests out of SLA at most",
    "AnyInWindow": "windows with any moment out of SLA at most",
}
MODES = {
    "Advisory": "Harmony computes and shows, and changes nothing",
    "Approval": "a change waits until somebody approves it",
    "Auto": "Harmony applies its decisions by itself",
}


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One field of a policy that would change; `means`: what follows from it, or nothing."""

    label: str
    before: str
    after: str
    means: str


def labels(policy: PolicyView) -> dict[str, str]:
    """Names of the fields in words; that of the promise says what is promised."""
    return LABELS | {"epsilon": f"{LABELS['epsilon']}: {_PROMISED[policy.risk_kind]}"}


def epsilon_field(policy: PolicyView) -> str:
    """Label of the field that takes the promise: `Promise, % of time out of SLA at most`."""
    return f"{LABELS['epsilon']}, % of {_PROMISED[policy.risk_kind]}"


def shown(name: str, value: Any) -> str:
    """A value of a policy as people read it."""
    if value is None:
        return "–"
    if name == "epsilon":
        return formats.percent(value)
    if name == "price_usd_per_gpu_hour":
        return formats.usd(value)
    return str(value)


def changes(
    policy: PolicyView, wanted: Mapping[str, Any], view: WorkloadView
) -> list[PolicyChange]:
    """Changes of a policy, field by field.

    Args:
        policy: As it stands.
        wanted: Field to value; None: as the GPUAutoscaler says.
        view: The workload's live state.
    """
    found = []
    for name, label in labels(policy).items():
        old, new = policy.overrides.get(name), wanted.get(name)
        if old == new:
            continue
        before = getattr(policy.in_force, name)
        after = OWN if new is None else shown(name, new)
        found.append(
            PolicyChange(label, shown(name, before), after, _means(name, before, new, view))
        )
    return found


def _means(name: str, before: Any, new: Any, view: WorkloadView) -> str:
    if new is None:
        return "What the object says holds again; a later change of it counts."
    if name == "mode":
        return f"{MODES[new][:1].upper()}{MODES[new][1:]}, from the operator's next pass on."
    if name == "epsilon" and new != before:
        return (
            "Stricter: more replicas are kept."
            if new < before
            else "Looser: fewer replicas are kept."
        )
    if name in {"min_replicas", "max_replicas"} and view.replicas is not None:
        return _bound_means(name, new, view.replicas.spec)
    if name == "price_usd_per_gpu_hour":
        return "Costs are reckoned with it from the next decision on."
    return ""


def _bound_means(name: str, bound: int, current: int) -> str:
    if name == "min_replicas" and current < bound:
        return f"There are {current} now: the next decision asks for {bound} at least."
    if name == "max_replicas" and current > bound:
        return f"There are {current} now: the next decision goes down towards {bound}."
    if name == "min_replicas" and bound == 0:
        return "It may go down to none: the first request then waits for a start."
    return ""


def stale(policy: PolicyView, now: datetime) -> PreconditionFailed:
    """Refusal of a change to a policy that somebody else has changed since it was shown."""
    who = policy.updated_by or "somebody"
    when = f", {formats.ago(policy.updated_at, now)}" if policy.updated_at else ""
    return PreconditionFailed(
        f"Somebody else has changed what is set for {policy.namespace}/{policy.workload} since "
        f"you opened this page ({who}{when}). What stands now is shown; what you entered is kept "
        "in the form. Look at both and save again."
    )
