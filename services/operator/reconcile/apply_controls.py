"""Controls of the API (policies, pauses, freezes, verdicts), applied to the autoscalers.

The GPUAutoscaler stays the source. The controls are loaded at each pass, so removing one brings the
object's own value back. Each is laid over by itself: one that no longer fits the object, because
its bounds moved since, is left out alone, and the object says so. What cannot be read, by an
operator older than the API or because somebody changed it by hand, holds its own workload alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

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
    lay_over,
    pause_changes,
    problem_of,
)
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.resource.autoscaler import ApprovalRule, Autoscaler, Key, Pause
from services.operator.resource.translate import stored_spec
from services.operator.stored.controls_repository import (
    load_controls,
    load_freezes,
    load_verdicts,
)

log = structlog.get_logger("operator")

Held = Sequence[Hold]
_Scope = tuple[str | None, str | None]
_ENDLESS = datetime.max.replace(tzinfo=UTC)
_NO_CONTROLS = Controls()
_UNREADABLE = Controls(pause=PauseControl())
"""In the place of controls that cannot be read: everything is held."""


class SetControls(NamedTuple):
    """Controls and the uid of the object that they are of; None: the one that is there."""

    controls: Controls
    uid: str | None


@dataclass(frozen=True, slots=True)
class ApiControls:
    """Everything that is set through the API, as it was loaded for one pass.

    Attributes:
        freezes: By namespace and name; None: of whichever.
    """

    controls: Mapping[Key, SetControls]
    freezes: Mapping[_Scope, Sequence[Freeze]]
    verdicts: Mapping[Key, RowMapping]

    @property
    def is_empty(self) -> bool:
        """True where nothing is set for any autoscaler."""
        return not (self.controls or self.freezes or self.verdicts)

    def of(self, autoscaler: Autoscaler) -> Controls:
        """What is set of an autoscaler; what was set of a former one of its name is not."""
        found = self.controls.get(autoscaler.key)
        if found is None or found.uid not in (None, autoscaler.uid):
            return _NO_CONTROLS
        return found.controls

    def freezes_of(self, key: Key, now: datetime) -> list[Freeze]:
        """Freezes that cover an autoscaler at `now`."""
        namespace, name = key
        scopes: list[_Scope] = [(None, None), (None, name), (namespace, None), key]
        found = (freeze for scope in scopes for freeze in self.freezes.get(scope, ()))
        return [freeze for freeze in found if freeze.covers(namespace, name, now)]


@dataclass(frozen=True, slots=True)
class _Controlled:
    """An autoscaler with what is to be stored of it.

    Attributes:
        spec: Its `workloads.spec` as JSON; None: nothing is to be stored.
        object_spec: What the object says by itself, where the controls make that another.
    """

    autoscaler: Autoscaler
    spec: bytes | None
    object_spec: bytes | None = None


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
        view,
        autoscalers=[c.autoscaler for c in changed],
        specs=[c.spec for c in changed],
        object_specs={c.autoscaler.key: c.object_spec for c in changed if c.object_spec},
    )


def _load(deps: OperatorDeps, now: datetime) -> ApiControls:
    with deps.engine.connect() as connection:
        controls = load_controls(connection)
        freezes = load_freezes(connection, now)
        verdicts = load_verdicts(connection)
    return ApiControls(
        {
            (r["namespace"], r["name"]): SetControls(_read_controls(r), r["object_uid"])
            for r in controls
        },
        _by_scope(_read_freeze(r) for r in freezes),
        {(r["namespace"], r["name"]): r for r in verdicts},
    )


def _by_scope(freezes: Iterable[Freeze]) -> dict[_Scope, list[Freeze]]:
    found: dict[_Scope, list[Freeze]] = {}
    for freeze in freezes:
        found.setdefault((freeze.namespace, freeze.name), []).append(freeze)
    return found


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
    controls = api.of(subject.autoscaler)
    held = held_until(controls.pause, api.freezes_of(key, now), now)
    subject = _with_policy(subject, controls)
    if held:
        if controls is _UNREADABLE:
            held = [hold._replace(source="unreadable controls") for hold in held[:1]] + held[1:]
        subject = _with_pause(subject, held, now)
    verdict = api.verdicts.get(key)
    if verdict is None:
        return subject
    approval = _with_verdict(subject.autoscaler.approval, verdict)
    return replace(subject, autoscaler=replace(subject.autoscaler, approval=approval))


def _source(own: Pause, held: Held, now: datetime) -> str:
    """Who holds longest what the object is said to be held in: the one to be asked to end it."""
    every: list[Hold] = []
    if own.is_active(now):
        every.append(Hold("Both", own.until, own.source))
    every += [Hold("ScaleIn", None, own.source)] if own.is_scale_in else []
    every += [Hold("ScaleOut", None, own.source)] if own.is_scale_out else []
    every += held
    told = next(d for d in ("Both", "ScaleIn", "ScaleOut") if d in {h.direction for h in every})
    ends = [(hold.until_at or _ENDLESS, hold.source) for hold in every if hold.direction == told]
    return max(ends, key=lambda end: end[0])[1]


def _with_spec(subject: _Controlled, spec: WorkloadSpec) -> _Controlled:
    stored = None if subject.spec is None else stored_spec(spec)
    return replace(subject, autoscaler=replace(subject.autoscaler, spec=spec), spec=stored)


def _with_policy(subject: _Controlled, controls: Controls) -> _Controlled:
    autoscaler = subject.autoscaler
    if autoscaler.spec is None:
        return subject
    laid = lay_over(autoscaler.spec, controls)
    if laid.left_out:
        left_out = tuple(laid.left_out.values())
        log.warning(
            "override_does_not_fit",
            namespace=autoscaler.namespace,
            workload=autoscaler.name,
            problem="; ".join(left_out),
        )
        subject = replace(subject, autoscaler=replace(autoscaler, left_out=left_out))
    if laid.spec is autoscaler.spec:
        return subject
    return _with_spec(replace(subject, object_spec=subject.spec), laid.spec)


def _with_pause(subject: _Controlled, held: Held, now: datetime) -> _Controlled:
    own, spec = subject.autoscaler.pause, subject.autoscaler.spec
    ends = [hold.until_at for hold in held if hold.direction == "Both"]
    is_all = bool(ends) or own.is_all
    if own.is_all:
        ends.append(own.until)
    pause = replace(
        own,
        is_all=is_all,
        until=None if None in ends or not ends else max(end for end in ends if end is not None),
        is_scale_in=own.is_scale_in or any(hold.direction == "ScaleIn" for hold in held),
        is_scale_out=own.is_scale_out or any(hold.direction == "ScaleOut" for hold in held),
        source=_source(own, held, now),
    )
    paused = replace(subject, autoscaler=replace(subject.autoscaler, pause=pause))
    if (own.is_all or own.is_partial) and subject.object_spec is None:
        # of two holds the longer one is stored: what the object holds by itself stands beside it
        paused = replace(paused, object_spec=subject.spec)
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
