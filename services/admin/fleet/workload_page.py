"""One workload's page: charts, decisions and their why, forecast quality, pause and resume."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response

from services.admin.console.page import (
    Form,
    FormFields,
    OwnOperator,
    PageCursor,
    Visitor,
    parse,
    render,
    submit,
    templates,
)
from services.admin.console.paths import Key, path_of
from services.admin.controls.held_wording import held_words
from services.admin.controls.schemas import PauseRequest
from services.admin.controls.service import delete_pause, get_pause, get_policy, put_pause
from services.admin.decisions import schemas, service, wording
from services.admin.decisions.service import ListQuery
from services.admin.deps import AdminDeps
from services.admin.identity.auth import Deps
from services.admin.rest.change import Caller
from services.admin.rest.params import Id
from services.admin.rest.schemas import Page
from services.admin.rest.service import WorkloadKey
from services.admin.rest.times import Window
from services.admin.series.service import get_allocation, get_lead_times, get_quality
from services.admin.workloads.service import get_workload
from services.kernel.errors import HarmonyError, InvalidInput
from services.kernel.security.keys import Principal, Role

router = APIRouter(include_in_schema=False)
templates.env.filters.update(
    by_level=lambda coverage: sorted((float(level), share) for level, share in coverage.items())
)
_MIN_MEASURED = 5
"""Starts after which the measured lead time is taken for the page instead of the prior."""
MIN_SCORED = 30
"""Scored forecasts from which a verdict is given: that of a few is mostly luck."""
_MAX_PAUSE_S = 366 * 86_400

PAUSE_DIRECTIONS = (
    ("Both", "Everything: the count stays"),
    ("ScaleIn", "Scale-in only: it may grow, not shrink"),
    ("ScaleOut", "Scale-out only: it may shrink, not grow"),
)
PAUSE_TIMES = (
    ("3600", "1 hour"),
    ("14400", "4 hours"),
    ("86400", "1 day"),
    ("until", "until the time given"),
    ("", "until resumed"),
)


@router.get("/workloads/{namespace}/{name}")
def workload(request: Request, deps: Deps, principal: Visitor, key: Key) -> Response:
    """One workload: charts, decisions, forecast quality, lead times."""
    return _page(request, deps, principal, key)


def _page(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    key: WorkloadKey,
    problem: HarmonyError | None = None,
) -> Response:
    view = get_workload(deps, *key)
    lead = get_lead_times(deps, key)
    is_measured = lead.n_measured >= _MIN_MEASURED and lead.p90_s
    lead_s = (lead.p90_s if is_measured else None) or lead.prior_median_s
    now = deps.clock.now()
    shown_from = now - timedelta(hours=12)
    paused = get_pause(deps, key)[0]
    return render(
        request,
        "workload.html",
        principal,
        view=view,
        quality=get_quality(deps, key),
        min_scored=MIN_SCORED,
        lead=lead,
        n_ahead=max(1, math.ceil(lead_s / view.step_s)),
        allocation=get_allocation(deps, key, Window(shown_from, now)),
        decisions=_decisions(deps, key, None, True),
        changes=True,
        pause=paused,
        held=held_words(paused),
        policy=get_policy(deps, key)[0],
        may_pause=principal.may(Role.OPERATOR, key.namespace) and view.may_be_held,
        directions=PAUSE_DIRECTIONS,
        times=PAUSE_TIMES,
        problem=problem,
    )


@router.post("/workloads/{namespace}/{name}/pause")
def pause(request: Request, deps: Deps, principal: OwnOperator, key: Key, form: Form) -> Response:
    """Hold scaling, in one direction or both, until a time or until resumed."""

    def write(caller: Caller) -> str:
        values = {
            "direction": form.one("direction", "Both"),
            "until_at": _until(form, deps.clock.now()),
            "reason": form.one("reason"),
        }
        put_pause(deps, caller, key, parse(PauseRequest, values))
        return f"{path_of(key)}?done=paused"

    return submit(write, principal, lambda error: _page(request, deps, principal, key, error))


def _until(form: FormFields, now: datetime) -> datetime | None:
    """When the pause ends; times of forms are UTC.

    Raises:
        InvalidInput: A time cannot be read.
    """
    lasting, until = form.one("lasting"), form.one("until_at")
    if lasting == "until":
        at = _time(until)
        if at is None:
            raise InvalidInput(
                f"until_at={until[:40]!r} must be a time in UTC, e.g. 2026-01-05T18:00"
            )
        return at
    if not lasting:
        return None
    if not (lasting.isascii() and lasting.isdigit() and 0 < int(lasting[:12]) <= _MAX_PAUSE_S):
        raise InvalidInput(f"lasting={lasting[:40]!r} must be a number of seconds up to a year")
    return now + timedelta(seconds=int(lasting))


def _time(text: str) -> datetime | None:
    """A time, in UTC where it names no offset; None: it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


@router.post("/workloads/{namespace}/{name}/resume")
def resume(request: Request, deps: Deps, principal: OwnOperator, key: Key) -> Response:
    """Take back the pause that was made here; what annotations hold stays held."""

    def write(caller: Caller) -> str:
        delete_pause(deps, caller, key)
        return f"{path_of(key)}?done=resumed"

    return submit(write, principal, lambda error: _page(request, deps, principal, key, error))


@router.get("/workloads/{namespace}/{name}/live")
def workload_live(request: Request, deps: Deps, principal: Visitor, key: Key) -> Response:
    """The live state of one workload, refreshed by htmx."""
    view = get_workload(deps, *key)
    return render(request, "_live.html", principal, view=view)


@router.get("/workloads/{namespace}/{name}/timeline")
def timeline(
    request: Request,
    deps: Deps,
    principal: Visitor,
    key: Key,
    cursor: PageCursor = None,
    changes: bool = False,
) -> Response:
    """A page of the decision timeline."""
    view = get_workload(deps, *key)
    page = _decisions(deps, key, cursor, changes)
    is_part = request.headers.get("hx-request") == "true"
    template = "_timeline.html" if is_part else "timeline.html"
    return render(request, template, principal, view=view, decisions=page, changes=changes)


def _decisions(
    deps: AdminDeps, key: WorkloadKey, cursor: str | None, changes: bool
) -> Page[schemas.DecisionSummary]:
    query = ListQuery(str(key), cursor=cursor, limit=25)
    return service.list_decisions(deps, query, {"changes": changes})


@router.get("/decisions/{decision_id}")
def decision(request: Request, deps: Deps, principal: Visitor, decision_id: Id) -> Response:
    """Why a decision was made: a part of the workload's page, or a page of its own."""
    detail = service.get_decision(deps, decision_id, principal.namespaces())
    is_part = request.headers.get("hx-request") == "true"
    template = "_decision.html" if is_part else "decision.html"
    return render(request, template, principal, detail=detail, why=wording.explain(detail))
