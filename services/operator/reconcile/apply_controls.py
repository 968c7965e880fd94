"""Controls of the API (policies, pauses, freezes, verdicts), applied to the autoscalers.

The GPUAutoscaler stays the source. The controls are loaded at each pass, so removing one brings the
object's own value back. An override that no longer fits the object, because its bounds moved since,
is left out and logged, and the object's own spec holds. What cannot be read, by an operator older
than the API or because somebody changed it by hand, holds its own workload alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from pydantic import ValidationError
from sqlalchemy import RowMapping

from services.kernel import telemetry
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.controls import (
    Controls,
    Freeze,
    Hold,
    PauseControl,
    held_until,
    pause_changes,
    problem_of,
    with_policy,
)
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View, stored_spec
from services.operator.resource.autoscaler import ApprovalRule, Autoscaler, Key
from services.operator.stored.controls_repository import (
    load_controls,
    load_freezes,
    load_verdicts,
)

log = structlog.get_logger("operator")

Held = Sequence[Hold]
_NO_CONTROLS = Controls()
_UNREADABLE = Controls(pause=PauseControl())
"""In the place of controls that cannot be read: everything is held."""


@dataclass(frozen=True, slots=True)
class ApiControls:
    """Everything that is set through the API, as it was loaded for one pass."""

    controls: Mapping[Key, Controls]
    freezes: Sequence[Freeze]
    verdicts: Mapping[Key, RowMapping]

    @property
    def is_empty(self) -> bool:
        """True where nothing is set for any autoscaler."""
        return not (self.controls or self.freezes or self.verdicts)


@dataclass(frozen=True, slots=True)
class _Controlled:
    """An autoscaler with its `workloads.spec` as JSON; None: nothing is to be stored."""

    autoscaler: Autoscaler
    spec: bytes | None


def apply_controls(deps: OperatorDeps, view: View, now: datetime) -> View:
    """The view in which each autoscaler has what is set for it through the API.

    Raises:
        sqlalchemy.exc.DBAPIError: The database failed.
    """
    api = _load(deps, now)
    if api.is_empty:
        return view
    # between two passes only some autoscalers are in the view, and nothing is stored
    is_whole = len(view.specs) == len(view.autoscalers)
    specs = view.specs if is_whole else [None] * len(view.autoscalers)
    changed = [
        _apply(_Controlled(autoscaler, spec), api, now)
        for autoscaler, spec in zip(view.autoscalers, specs, strict=True)
    ]
    return replace(
        view, autoscalers=[c.autoscaler for c in changed], specs=[c.spec for c in changed]
    )


def _load(deps: OperatorDeps, now: datetime) -> ApiControls:
    with deps.engine.connect() as connection:
        controls = load_controls(connection)
        freezes = load_freezes(connection, now)
        verdicts = load_verdicts(connection)
    return ApiControls(
        {(r["namespace"], r["name"]): _read_controls(r) for r in controls},
        [_read_freeze(r) for r in freezes],
        {(r["namespace"], r["name"]): r for r in verdicts},
    )


def _read_controls(row: RowMapping) -> Controls:
    """What is set of a workload; what cannot be read holds it, for it may be a pause."""
    try:
        return Controls.model_validate(row["body"])
    except ValidationError as error:
        _note_unreadable(row, problem_of(error))
        return _UNREADABLE


def _read_freeze(row: RowMapping) -> Freeze:
    """A freeze; one of a direction that is not known holds both."""
    values = {name: value for name, value in row.items() if name != "id"}
    try:
        return Freeze.model_validate(values)
    except ValidationError as error:
        _note_unreadable(row, problem_of(error))
        return Freeze.model_validate(values | {"direction": "Both"})


def _note_unreadable(row: RowMapping, problem: str) -> None:
    telemetry.reconcile_errors_total.labels("controls_unreadable").inc()
    log.warning(
        "controls_unreadable", namespace=row["namespace"], workload=row["name"], problem=problem
    )


def _apply(subject: _Controlled, api: ApiControls, now: datetime) -> _Controlled:
    key = subject.autoscaler.key
    controls = api.controls.get(key, _NO_CONTROLS)
    freezes = [freeze for freeze in api.freezes if freeze.covers(*key, now)]
    held = held_until(controls.pause, freezes, now)
    subject = _with_policy(subject, controls)
    if held:
        subject = _with_pause(subject, held, _source(controls))
    verdict = api.verdicts.get(key)
    if verdict is None:
        return subject
    approval = _with_verdict(subject.autoscaler.approval, verdict)
    return replace(subject, autoscaler=replace(subject.autoscaler, approval=approval))


def _source(controls: Controls) -> str:
    if controls is _UNREADABLE:
        return "unreadable controls"
    return "the API" if controls.pause else "a freeze"


def _with_spec(subject: _Controlled, spec: WorkloadSpec) -> _Controlled:
    stored = None if subject.spec is None else stored_spec(spec)
    return _Controlled(replace(subject.autoscaler, spec=spec), stored)


def _with_policy(subject: _Controlled, controls: Controls) -> _Controlled:
    autoscaler = subject.autoscaler
    if autoscaler.spec is None:
        return subject
    try:
        changed = with_policy(autoscaler.spec, controls)
    except ValidationError as error:
        log.warning(
            "override_does_not_fit",
            namespace=autoscaler.namespace,
            workload=autoscaler.name,
            problem=problem_of(error),
        )
        return subject
    return subject if changed is autoscaler.spec else _with_spec(subject, changed)


def _with_pause(subject: _Controlled, held: Held, source: str) -> _Controlled:
    own, spec = subject.autoscaler.pause, subject.autoscaler.spec
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
        source=own.source if own.is_all else source,
    )
    paused = replace(subject, autoscaler=replace(subject.autoscaler, pause=pause))
    if spec is None:
        return paused
    return _with_spec(paused, spec.model_copy(update=pause_changes(spec, held)))


def _with_verdict(rule: ApprovalRule, verdict: RowMapping) -> ApprovalRule:
    """The rule with an approval or rejection of the API.

    The annotations may hold a verdict as well; the one on the later decision counts.
    """
    decision_id = int(verdict["decision_id"])
    if decision_id < max(rule.decision_id or 0, rule.rejected_id or 0):
        return rule
    if verdict["verdict"] == "approved":
        return replace(
            rule,
            decision_id=decision_id,
            approved_by=verdict["actor"],
            rejected_id=None if rule.rejected_id == decision_id else rule.rejected_id,
        )
    return replace(
        rule,
        rejected_id=decision_id,
        rejected_by=verdict["actor"],
        decision_id=None if rule.decision_id == decision_id else rule.decision_id,
    )
