"""The schedules' page: recurring windows that change the bounds or freeze scaling."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from services.admin.console.forms import FieldErrors, at_field, check, errors_of, renamed
from services.admin.console.page import Form, FormFields, OwnOperator, Visitor, render, submit
from services.admin.console.paths import Key, path_of
from services.admin.controls.schemas import (
    ScheduleBody,
    SchedulesRequest,
    SchedulesView,
    ScheduleView,
)
from services.admin.controls.service import (
    get_policy,
    get_schedules,
    put_schedules,
    reset_schedules,
)
from services.admin.controls.wording import stale
from services.admin.deps import AdminDeps
from services.admin.identity.auth import Deps
from services.admin.rest.change import Caller
from services.admin.rest.service import WorkloadKey
from services.admin.workloads import service
from services.kernel.errors import HarmonyError, InvalidInput, NotFound, PreconditionFailed
from services.kernel.security.keys import Principal, Role

router = APIRouter(include_in_schema=False)
_PATH = "/workloads/{namespace}/{name}/schedules"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ZONES = ("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Shanghai", "Asia/Tokyo")
"""Proposed; any IANA name is taken."""
FREEZES = (
    ("", "Scaling goes on"),
    ("ScaleDown", "No decreases"),
    ("Both", "No changes at all"),
)
_FIELDS = (
    "schedule",
    "timezone",
    "start_time",
    "end_time",
    "min_replicas",
    "max_replicas",
    "freeze",
    "replaces",
)


class _NamedHere(ScheduleBody):
    """A schedule whose name is given in the form."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9._-]+$")]


def days_in_words(days: list[int]) -> str:
    """Days of the week, shortest: `Mon to Fri`, `Sat, Sun`, `every day`."""
    known = sorted(set(days))
    if len(known) == len(DAYS):
        return "every day"
    is_run = len(known) > 2 and known[-1] - known[0] == len(known) - 1
    if is_run:
        return f"{DAYS[known[0]]} to {DAYS[known[-1]]}"
    return ", ".join(DAYS[day] for day in known)


@router.get(_PATH)
def schedules(
    request: Request,
    deps: Deps,
    principal: Visitor,
    key: Key,
    edit: Annotated[str, Query(max_length=63)] = "",
) -> Response:
    """The schedules of a workload; `edit` names the one in the form."""
    found, _ = get_schedules(deps, key)
    one = next((item for item in found.schedules if item.name == edit), None)
    return _page(request, deps, principal, key, None if one is None else _given(one))


def _page(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    key: WorkloadKey,
    given: dict[str, Any] | None = None,
    problem: HarmonyError | None = None,
) -> Response:
    """The page; `if_match` of what was given is what the form that comes back rests on."""
    view = service.get_workload(deps, *key)
    found, etag = get_schedules(deps, key)
    usual = dict.fromkeys(_FIELDS, "") | {"timezone": "UTC", "days": ["0", "1", "2", "3", "4"]}
    return render(
        request,
        "schedules.html",
        principal,
        path=path_of(key),
        view=view,
        found=found,
        etag=etag,
        form_etag=(given or {}).get("if_match") or etag,
        given=usual | (given or {}),
        is_open=given is not None or problem is not None,
        days=DAYS,
        zones=ZONES,
        freezes=FREEZES,
        in_words=days_in_words,
        may_change=principal.may(Role.OPERATOR, key.namespace) and view.may_be_held,
        errors=errors_of(problem),
        problem=problem,
    )


def _given(one: ScheduleView) -> dict[str, Any]:
    """A schedule as the form holds it."""
    bounds = {name: getattr(one, name) for name in ("min_replicas", "max_replicas")}
    return {
        "schedule": one.name,
        "replaces": one.name,
        "timezone": one.timezone,
        "start_time": one.start_time,
        "end_time": one.end_time,
        "freeze": one.freeze or "",
        "days": [str(day) for day in one.days_of_week],
    } | {name: "" if value is None else str(value) for name, value in bounds.items()}


@router.post(_PATH)
def save(request: Request, deps: Deps, principal: OwnOperator, key: Key, form: Form) -> Response:
    """Add a schedule, or put it in the place of the one that `replaces` names."""

    def write(caller: Caller) -> str:
        made = _body(form)
        found, _ = get_schedules(deps, key)
        place = form.one("replaces")
        rest = [_as_body(one) for one in found.schedules if one.name != place]
        if any(one.name == made.name for one in rest):
            rule = "is the name of another schedule of this workload"
            raise FieldErrors({"schedule": f"{made.name}: {rule}"})
        _replace(deps, caller, key, [*rest, made], form)
        return f"{path_of(key)}/schedules?done=schedule"

    def again(error: HarmonyError) -> Response:
        given = {name: form.one(name) for name in _FIELDS} | {"days": form.all("days")}
        # who was slower is told once; until then nobody has seen what somebody else has changed
        given["if_match"] = "" if isinstance(error, PreconditionFailed) else form.one("if_match")
        return _page(request, deps, principal, key, given, _explained(deps, key, error))

    return submit(write, principal, again)


def _explained(deps: AdminDeps, key: WorkloadKey, error: HarmonyError) -> HarmonyError:
    if isinstance(error, PreconditionFailed):
        return stale(get_policy(deps, key)[0], deps.wall.now())
    return error


def _body(form: FormFields) -> ScheduleBody:
    """The schedule of a form, under the rules of the REST API.

    Raises:
        FieldErrors: A field cannot be used; `name` is `schedule` in the form.
    """
    values: dict[str, Any] = {name: form.one(name) for name in _FIELDS if form.one(name)}
    values.pop("replaces", None)
    values["name"] = values.pop("schedule", "")
    values["days_of_week"] = form.all("days")
    is_kept = values["name"] == form.one("replaces")
    try:
        return check(ScheduleBody if is_kept else _NamedHere, values)
    except FieldErrors as error:
        raise renamed(error, {"name": "schedule", "days_of_week": "days"}) from error


def _as_body(one: ScheduleView) -> ScheduleBody:
    """A schedule that stays as it is; the GPUAutoscaler may have one that no form would take."""
    kept = one.model_dump(exclude={"is_in_force"})
    return ScheduleBody.model_construct(**kept | {"days_of_week": tuple(one.days_of_week)})


def _replace(
    deps: AdminDeps, caller: Caller, key: WorkloadKey, wanted: list[ScheduleBody], form: FormFields
) -> None:
    body = check(SchedulesRequest, {"schedules": wanted})
    try:
        put_schedules(deps, caller, key, body, form.one("if_match") or None)
    except InvalidInput as error:
        raise at_field(error, list(_FIELDS)) from error


@router.post(f"{_PATH}/remove")
def remove(request: Request, deps: Deps, principal: OwnOperator, key: Key, form: Form) -> Response:
    """Remove one schedule."""

    def write(caller: Caller) -> str:
        found, _ = get_schedules(deps, key)
        rest = _without(found, form.one("schedule"))
        _replace(deps, caller, key, rest, form)
        return f"{path_of(key)}/schedules?done=unscheduled"

    return submit(
        write,
        principal,
        lambda error: _page(request, deps, principal, key, None, _explained(deps, key, error)),
    )


def _without(found: SchedulesView, name: str) -> list[ScheduleBody]:
    rest = [_as_body(one) for one in found.schedules if one.name != name]
    if len(rest) == len(found.schedules):
        raise NotFound(f"schedule {name[:63]!r} does not exist any more")
    return rest


@router.post(f"{_PATH}/reset")
def reset(request: Request, deps: Deps, principal: OwnOperator, key: Key, form: Form) -> Response:
    """Take the schedules back to those of the GPUAutoscaler."""

    def write(caller: Caller) -> str:
        reset_schedules(deps, caller, key, form.one("if_match") or None)
        return f"{path_of(key)}/schedules?done=own-schedules"

    return submit(
        write,
        principal,
        lambda error: _page(request, deps, principal, key, None, _explained(deps, key, error)),
    )
