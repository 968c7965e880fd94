"""Use cases of policies, pauses and schedules: layers over a GPUAutoscaler that the operator lays.

What is set here holds from the operator's next pass on; `is_in_force` says whether it does yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, RowMapping

from services.admin.controls import repository, translate
from services.admin.controls.bounds_service import check_raised
from services.admin.controls.schemas import (
    PauseRequest,
    PauseView,
    PolicyPatch,
    PolicyView,
    SchedulesRequest,
    SchedulesView,
)
from services.admin.controls.translate import Controlled, etag_of
from services.admin.deps import AdminDeps
from services.admin.rest.change import Answer, Caller, Change, check_etag, perform
from services.admin.rest.cursors import page_of, position
from services.admin.rest.schemas import Item, Page
from services.admin.rest.sent_back import SentBack
from services.admin.rest.service import KUBERNETES, WorkloadKey
from services.admin.rest.translate import spec_of
from services.kernel.domain import ScheduleSpec
from services.kernel.domain.controls import (
    Controls,
    PauseControl,
    PolicyControl,
    lay_over,
    problem_of,
)
from services.kernel.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from services.kernel.security.keys import Principal
from services.kernel.telemetry import get_logger


def find_controlled(row: RowMapping | None, key: WorkloadKey) -> Controlled:
    """A workload with its controls.

    Raises:
        NotFound: There is none.
        Conflict: Its spec, or what is set of it, cannot be read, as what a later release stored.
    """
    if row is None:
        raise NotFound(f"workload {key} does not exist")
    try:
        spec, stated = spec_of(row["spec_text"]), row["object_spec_text"]
        own = spec if stated is None else spec_of(stated)
        controls = Controls.model_validate(row["body"])
        return Controlled(row, spec, own, controls, is_own_stored=stated is not None)
    except ValidationError as error:
        raise Conflict(
            f"the spec of workload {key}, or what is set of it, cannot be read here "
            f"({problem_of(error)}): let all processes be of one release, or write it anew"
        ) from error


def _read(deps: AdminDeps, key: WorkloadKey) -> Controlled:
    with deps.reading() as connection:
        return find_controlled(repository.load_controlled(connection, *key), key)


def get_policy(deps: AdminDeps, key: WorkloadKey) -> tuple[PolicyView, str]:
    """The policy of a workload, and its ETag.

    Raises:
        NotFound: No such workload.
    """
    found = _read(deps, key)
    return translate.to_policy(found), found.etag


def get_pause(deps: AdminDeps, key: WorkloadKey) -> tuple[PauseView, str]:
    """The pause of a workload, and its ETag.

    Raises:
        NotFound: No such workload.
    """
    with deps.reading() as connection:
        row = repository.load_controlled(connection, *key)
        found = find_controlled(row, key)
        view = _pause_view(deps)(connection, [found.row])
    return view(found), found.etag


def get_schedules(deps: AdminDeps, key: WorkloadKey) -> tuple[SchedulesView, str]:
    """The schedules of a workload, and their ETag.

    Raises:
        NotFound: No such workload.
    """
    found = _read(deps, key)
    return translate.to_schedules(found, deps.clock.now()), found.etag


def patch_policy(
    deps: AdminDeps, caller: Caller, key: WorkloadKey, patch: PolicyPatch, if_match: str | None
) -> Answer:
    """Set or take back fields of the policy.

    Raises:
        NotFound: No such workload.
        InvalidInput: The whole would be inconsistent.
        Forbidden: It would take GPUs from other namespaces.
        PreconditionRequired: No ETag was sent.
        PreconditionFailed: The controls have changed since they were read.
    """
    given = patch.model_dump(exclude_unset=True)

    def changed(controls: Controls) -> Controls:
        policy = PolicyControl.model_validate(controls.policy.model_dump() | given)
        return controls.model_copy(update={"policy": policy})

    update = _Update(key, "policy.update", changed, if_match, patch)
    return _change(deps, caller, update, _policy_view)


def check_policy(
    deps: AdminDeps, principal: Principal, key: WorkloadKey, patch: PolicyPatch
) -> None:
    """Refuse a change of the policy that could not be made, without making it.

    Raises:
        NotFound: No such workload.
        InvalidInput: The whole would be inconsistent.
        Forbidden: It would take GPUs from other namespaces.
    """
    given = patch.model_dump(exclude_unset=True)
    with deps.reading() as connection:
        found = find_controlled(repository.load_controlled(connection, *key), key)
        policy = PolicyControl.model_validate(found.controls.policy.model_dump() | given)
        after = found.controls.model_copy(update={"policy": policy})
        _check_fits(found, after)
        check_raised(connection, principal, found, after)


def put_schedules(
    deps: AdminDeps, caller: Caller, key: WorkloadKey, body: SchedulesRequest, if_match: str | None
) -> Answer:
    """Replace a workload's schedules.

    Raises: as `patch_policy`.
    """
    schedules = tuple(ScheduleSpec.model_validate(one.model_dump()) for one in body.schedules)

    def changed(controls: Controls) -> Controls:
        return controls.model_copy(update={"schedules": schedules})

    update = _Update(key, "schedules.replace", changed, if_match, body)
    return _change(deps, caller, update, _schedules_view(deps))


def reset_schedules(
    deps: AdminDeps, caller: Caller, key: WorkloadKey, if_match: str | None
) -> Answer:
    """Take the schedules back to those of the GPUAutoscaler.

    Raises: as `patch_policy`.
    """

    def changed(controls: Controls) -> Controls:
        return controls.model_copy(update={"schedules": None})

    update = _Update(key, "schedules.reset", changed, if_match)
    return _change(deps, caller, update, _schedules_view(deps))


def put_pause(
    deps: AdminDeps,
    caller: Caller,
    key: WorkloadKey,
    body: PauseRequest,
    if_match: str | None = "*",
) -> Answer:
    """Pause a workload; in an emergency nobody reads an ETag first, so none is needed.

    Raises:
        NotFound: No such workload.
        InvalidInput: The end lies in the past.
        PreconditionFailed: An ETag was sent and is stale.
    """
    now = deps.clock.now()
    if body.until_at is not None and body.until_at <= now:
        raise InvalidInput(
            f"until_at={body.until_at.isoformat()} must be after now ({now.isoformat()})",
            "/until_at",
        )

    def changed(controls: Controls) -> Controls:
        if body.direction is None:
            raise InvalidInput(
                "direction=null: must be Both, ScaleIn or ScaleOut; resume with DELETE",
                "/direction",
            )
        pause = PauseControl.model_validate(body.model_dump())
        return controls.model_copy(update={"pause": pause})

    update = _Update(key, "pause.set", changed, if_match, body)
    return _change(deps, caller, update, _pause_view(deps))


def delete_pause(
    deps: AdminDeps, caller: Caller, key: WorkloadKey, if_match: str | None = "*"
) -> Answer:
    """Take back the pause that was made here; what annotations hold stays held.

    Raises:
        NotFound: No such workload.
        PreconditionFailed: An ETag was sent and is stale.
    """

    def changed(controls: Controls) -> Controls:
        return controls.model_copy(update={"pause": None})

    update = _Update(key, "pause.lift", changed, if_match)
    return _change(deps, caller, update, _pause_view(deps))


def list_policies(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[PolicyView]:
    """Policies of the active workloads."""
    found = filters | {"what": "policy"} | position(cursor, (str, str, int))
    return _page(deps, Page[PolicyView], found, limit, _policy_view)


def list_pauses(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[PauseView]:
    """Workloads of which something is held, or was to be held through the API."""
    found = filters | {"what": "pause"} | position(cursor, (str, str, int))
    return _page(deps, Page[PauseView], found, limit, _pause_view(deps))


def list_schedules(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[SchedulesView]:
    """Workloads with schedules."""
    found = filters | {"what": "schedules"} | position(cursor, (str, str, int))
    return _page(deps, Page[SchedulesView], found, limit, _schedules_view(deps))


def _page(
    deps: AdminDeps, kind: type[Page[Item]], filters: dict[str, Any], limit: int, views: _Views
) -> Page[Item]:
    with deps.reading() as connection:
        rows = repository.load_page_controlled(connection, filters, limit + 1)
        view = views(connection, rows)

    def shown(row: RowMapping) -> Item | None:
        try:
            found = find_controlled(row, WorkloadKey(row["namespace"], row["name"]))
        except Conflict as error:  # it keeps no other from being shown
            get_logger("admin").warning("controls_unreadable", error=error.message)
            return None
        item: Item = view(found)
        return item

    return page_of(kind, rows, limit, ("namespace", "name", "id"), shown)


@dataclass(frozen=True, slots=True)
class _Update:
    """A change of controls: of which workload, its name in the audit log, what it does.

    Attributes:
        sent: The document that asks for it; None: there is none.
    """

    key: WorkloadKey
    action: str
    changed: Callable[[Controls], Controls]
    if_match: str | None
    sent: SentBack | None = None


_View = Callable[[Controlled], Any]
_Views = Callable[[Connection, Sequence[RowMapping]], _View]
"""Views of rows; what is shown beside them is read for all of them at once."""


def _policy_view(_: Connection, __: Sequence[RowMapping]) -> _View:
    return translate.to_policy


def _pause_view(deps: AdminDeps) -> _Views:
    now = deps.clock.now()

    def views(connection: Connection, rows: Sequence[RowMapping]) -> _View:
        freezes = repository.load_freezes(connection, [row["id"] for row in rows], now)
        return lambda found: translate.to_pause(found, now, freezes.get(found.row["id"], ()))

    return views


def _schedules_view(deps: AdminDeps) -> _Views:
    now: datetime = deps.clock.now()
    return lambda _, __: lambda found: translate.to_schedules(found, now)


def _change(deps: AdminDeps, caller: Caller, update: _Update, views: _Views) -> Answer:
    """Change the controls of a workload, audited, and ask the operator for a pass.

    A document that is sent back as it was read changes nothing.
    """

    def change(one: Change) -> Answer:
        row = repository.load_controlled(one.connection, *update.key, is_locked=True)
        found = find_controlled(row, update.key)
        _check_followed(row, update.key)
        check_etag(update.if_match, found.etag, str(update.key))
        view = views(one.connection, [found.row])
        if update.sent is not None:
            stands = view(found)
            shown = stands.model_dump(mode="json")
            update.sent.check_unchanged(shown)
            if update.sent.is_as_read(shown):
                return Answer(200, stands, {"ETag": found.etag})
        after = update.changed(found.controls)
        _check_fits(found, after)
        _check_schedules(found, after)
        check_raised(one.connection, one.caller.principal, found, after)
        body = after.model_dump(mode="json")
        values = {"body": body, "updated_by": one.actor, "updated_at": one.at}
        seen = found.row["version"]
        version = repository.save_controls(one.connection, found.row["id"], seen, values)
        if version is None:
            raise PreconditionFailed(
                f"what is set of {update.key} has changed since it was read; read it again"
            )
        before = found.controls.model_dump(mode="json")
        one.audit(update.action, f"workload/{update.key}", before, body)
        one.wake_operator()
        stored = repository.load_controlled(one.connection, *update.key)
        answer = find_controlled(stored, update.key)
        now = view(answer)
        return Answer(200, now, {"ETag": etag_of(version)})

    return perform(deps, caller, change)


def _check_fits(found: Controlled, after: Controls) -> None:
    """Refuse a change by which a field of the policy does not fit the GPUAutoscaler's own.

    One that did not fit before, since the object has changed, keeps nobody from another change.

    Raises:
        InvalidInput: It would not.
    """
    before = lay_over(found.own, found.controls).left_out
    for name, problem in lay_over(found.own, after).left_out.items():
        if before.get(name) != problem:
            raise InvalidInput(problem, f"/{name}")


def _check_schedules(found: Controlled, after: Controls) -> None:
    """Refuse a schedule that is new and would never hold whole: no schedule goes beyond the bounds.

    Raises:
        InvalidInput: Its minimum is above the maximum that is in force.
    """
    most, known = lay_over(found.own, after).spec.max_replicas, found.controls.schedules or ()
    for at, one in enumerate(after.schedules or ()):
        low = one.min_replicas
        if low is not None and low > most and one not in known:
            said = f"schedule {one.name}: min_replicas={low} must be <= max_replicas={most}"
            raise InvalidInput(f"{said} of the workload", f"/schedules/{at}/min_replicas")


def _check_followed(row: RowMapping | None, key: WorkloadKey) -> None:
    """Refuse controls of a workload that no operator lays them over.

    Raises:
        Conflict: It was made over REST, or its GPUAutoscaler is gone: what is set holds for that
            one, not for another of its name.
    """
    if row is not None and row["managed_by"] != KUBERNETES:
        raise Conflict(
            f"workload {key} was made over REST and its decisions are advice: there is nothing to "
            f"pause, and its bounds, promise and schedules are set by PUT /v1/workloads/{key}"
        )
    if row is not None and not row["is_active"]:
        raise Conflict(
            f"workload {key} was removed and nothing would hold: to hold it before it is there "
            "again, set a freeze, which is by name"
        )
