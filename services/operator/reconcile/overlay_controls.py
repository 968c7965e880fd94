"""What was set through the API, laid over the autoscalers as the API server has them.

The GPUAutoscaler stays the source. What is laid over it is read anew at each pass, so taking it
away brings the object's own value back; and an override that no longer fits the object (its bounds
moved since) is left out and logged, while the object's own spec holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from pydantic import ValidationError
from sqlalchemy import RowMapping

from services.kernel.domain.controls import (
    Controls,
    Direction,
    Freeze,
    held_until,
    pause_changes,
    problem_of,
    with_policy,
)
from services.operator.reconcile import controls_repository as repository
from services.operator.reconcile.memory import Deps
from services.operator.reconcile.observe import View, stored_spec
from services.operator.resource.autoscaler import ApprovalRule, Autoscaler, Key

log = structlog.get_logger("operator")

Held = Sequence[tuple[Direction, datetime | None]]
_NOTHING = Controls()


@dataclass(frozen=True, slots=True)
class Laid:
    """What is set, as it was read for one pass."""

    controls: Mapping[Key, Controls]
    freezes: Sequence[Freeze]
    verdicts: Mapping[Key, RowMapping]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is set of anything."""
        return not (self.controls or self.freezes or self.verdicts)


def lay(deps: Deps, view: View, now: datetime) -> View:
    """The view with what was set through the API.

    Raises:
        sqlalchemy.exc.DBAPIError: The database failed.
    """
    laid = _read(deps, now)
    if laid.is_empty:
        return view
    autoscalers, specs = [], []
    for autoscaler, spec in zip(view.autoscalers, _specs(view), strict=True):
        changed, changed_spec = _over(autoscaler, spec, laid, now)
        autoscalers.append(changed)
        specs.append(changed_spec)
    return replace(view, autoscalers=autoscalers, specs=specs)


def _specs(view: View) -> Sequence[bytes | None]:
    """Stored specs by position; between two passes only some autoscalers are in the view."""
    is_whole = len(view.specs) == len(view.autoscalers)
    return view.specs if is_whole else [None] * len(view.autoscalers)


def _read(deps: Deps, now: datetime) -> Laid:
    with deps.engine.connect() as connection:
        controls = repository.load_controls(connection)
        freezes = repository.load_freezes(connection, now)
        verdicts = repository.load_verdicts(connection)
    return Laid(
        {(r["namespace"], r["name"]): Controls.model_validate(r["body"]) for r in controls},
        [Freeze.model_validate({k: v for k, v in r.items() if k != "id"}) for r in freezes],
        {(r["namespace"], r["name"]): r for r in verdicts},
    )


def _over(
    autoscaler: Autoscaler, spec: bytes | None, laid: Laid, now: datetime
) -> tuple[Autoscaler, bytes | None]:
    controls = laid.controls.get(autoscaler.key, _NOTHING)
    freezes = [freeze for freeze in laid.freezes if freeze.covers(*autoscaler.key, now)]
    held = held_until(controls.pause, freezes, now)
    autoscaler, spec = _with_policy(autoscaler, spec, controls)
    if held:
        autoscaler, spec = _with_pause(autoscaler, spec, held, "the API" if controls.pause else "")
    verdict = laid.verdicts.get(autoscaler.key)
    if verdict is not None:
        autoscaler = replace(autoscaler, approval=_with_verdict(autoscaler.approval, verdict))
    return autoscaler, spec


def _with_policy(
    autoscaler: Autoscaler, spec: bytes | None, controls: Controls
) -> tuple[Autoscaler, bytes | None]:
    if autoscaler.spec is None:
        return autoscaler, spec
    try:
        changed = with_policy(autoscaler.spec, controls)
    except ValidationError as error:
        log.warning(
            "override_does_not_fit",
            namespace=autoscaler.namespace,
            workload=autoscaler.name,
            problem=problem_of(error),
        )
        return autoscaler, spec
    if changed is autoscaler.spec:
        return autoscaler, spec
    stored = None if spec is None else stored_spec(changed)
    return replace(autoscaler, spec=changed), stored


def _with_pause(
    autoscaler: Autoscaler, spec: bytes | None, held: Held, by: str
) -> tuple[Autoscaler, bytes | None]:
    own = autoscaler.pause
    ends = [until for direction, until in held if direction == "Both"]
    is_all = bool(ends) or own.is_all
    if own.is_all:
        ends.append(own.until)
    pause = replace(
        own,
        is_all=is_all,
        until=None if None in ends or not ends else max(end for end in ends if end is not None),
        is_scale_in=own.is_scale_in or any(d == "ScaleIn" for d, _ in held),
        is_scale_out=own.is_scale_out or any(d == "ScaleOut" for d, _ in held),
        source=own.source if own.is_all else (by or "a freeze"),
    )
    if autoscaler.spec is None:
        return replace(autoscaler, pause=pause), spec
    changes = pause_changes(autoscaler.spec, held)
    merged = autoscaler.spec.model_copy(update=changes)
    stored = None if spec is None else stored_spec(merged)
    return replace(autoscaler, pause=pause, spec=merged), stored


def _with_verdict(rule: ApprovalRule, verdict: RowMapping) -> ApprovalRule:
    """The rule with what was said through the API; of two words the one on a later decision."""
    named = int(verdict["decision_id"])
    if named < max(rule.decision_id or 0, rule.rejected_id or 0):
        return rule
    if verdict["verdict"] == "approved":
        return replace(
            rule,
            decision_id=named,
            approved_by=verdict["actor"],
            rejected_id=None if rule.rejected_id == named else rule.rejected_id,
        )
    return replace(
        rule,
        rejected_id=named,
        rejected_by=verdict["actor"],
        decision_id=None if rule.decision_id == named else rule.decision_id,
    )
