"""Rights, rendering and forms of all pages of the console."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs, urlencode

from fastapi import Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from jinja2 import pass_context
from jinja2.runtime import Context
from pydantic import BaseModel, ValidationError

from services.admin.console.forms import in_words
from services.admin.console.in_cluster import in_cluster
from services.admin.deps import AdminDeps
from services.admin.identity.auth import COOKIE, Need, Scope, authenticate, deps_of
from services.admin.rest import formats
from services.admin.rest.change import Caller
from services.kernel.errors import HarmonyError, InvalidInput, Unauthorized
from services.kernel.security.keys import FLEET, Principal, Role

_HERE = Path(__file__).parents[1]
_MAX_FIELDS = 200
_Model = TypeVar("_Model", bound=BaseModel)
templates = Jinja2Templates(directory=_HERE / "templates")

SECTIONS = (
    ("/", "Fleet", ("/workloads/", "/decisions/")),
    ("/approvals", "Approvals", ()),
    ("/backtests", "Backtests", ("/backtests/",)),
    ("/frontier", "Frontier", ()),
    ("/advice", "Advice", ("/advice/",)),
    ("/models", "Models", ()),
    ("/limits", "Budgets", ()),
    ("/freezes", "Freezes", ()),
)
KEYS = ("/keys", "Keys", ())
"""Shown to those only who administer some."""
CELLS = ("/cells", "Cells", ())
"""Shown while there are several."""
AUDIT = ("/audit", "Audit", ())
"""Shown to those only who may read it."""

NOTICES = {
    "approved": "Approved. The operator applies this decision within seconds.",
    "rejected": "Rejected. The next decision is awaited.",
    "paused": "Held. The operator takes it over within seconds.",
    "resumed": "Resumed. The operator takes it over within seconds.",
    "promoted": "Promoted. The model answers from the next forecast on.",
    "shadowed": "Taken out of service. Until a model is promoted the prior answers, or where that "
    "is switched off the best simple forecasters.",
    "rolled-back": "Rolled back. The model before answers from the next forecast on.",
    "training": "Training is queued.",
    "policy": "Saved. The operator takes it over within seconds.",
    "schedule": "Saved. The operator takes it over within seconds.",
    "unscheduled": "Removed. The operator takes it over within seconds.",
    "own-schedules": "The GPUAutoscaler's own schedules hold again from the next pass on.",
    "frozen": "Frozen. The operator takes it over within seconds.",
    "lifted": "Ended. The operator takes it over within seconds.",
    "revoked": "Revoked. Its sessions have ended; other processes forget it within a minute.",
    "logged-out": "You are logged out.",
    "ended": "Your session had ended: what you sent has changed nothing. Log in, and send it "
    "again.",
    "cancelled": "A cancellation was asked for; what runs ends at its next stage.",
}


@lru_cache(maxsize=1)
def asset_version() -> str:
    """Changes when any static file does, so that browsers may keep files for ever."""
    digest = hashlib.sha256()
    for path in sorted((_HERE / "static").rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def query_text(**values: object) -> str:
    """A query string of what is set; booleans as `true`."""
    kept = {name: "true" if value is True else value for name, value in values.items() if value}
    return f"?{urlencode(kept, doseq=True)}" if kept else ""


@pass_context
def clock_time(context: Context, at: datetime | None) -> str:
    """A time as a page shows it, whose year is that of its `now`."""
    now = context.get("now")
    return formats.clock_time(at, now if isinstance(now, datetime) else None)


templates.env.filters.update(
    percent=formats.percent,
    number=formats.number,
    usd=formats.usd,
    duration=formats.duration,
    clock_time=clock_time,
    iso=formats.iso,
)
templates.env.globals.update(
    ago=formats.ago,
    asset_version=asset_version,
    query_text=query_text,
)


class LoginNeeded(Exception):
    """The visitor has no session."""


class RequirePage(Need):
    """A dependency of pages: the visitor's principal, if it has the role."""

    def __call__(self, request: Request) -> Principal:
        """The visitor's principal.

        Raises:
            LoginNeeded: No session.
            Forbidden: The role is missing.
        """
        try:
            principal = authenticate(request, None, request.cookies.get(COOKIE))
        except Unauthorized as error:
            raise LoginNeeded from error
        return self.admit(request, principal)


Visitor = Annotated[Principal, Depends(RequirePage(Role.VIEWER, Scope.OWN))]
OwnOperator = Annotated[Principal, Depends(RequirePage(Role.OPERATOR, Scope.OWN))]
OwnApprover = Annotated[Principal, Depends(RequirePage(Role.APPROVER, Scope.OWN))]
OwnAdmin = Annotated[Principal, Depends(RequirePage(Role.ADMIN, Scope.OWN))]
FleetOperator = Annotated[Principal, Depends(RequirePage(Role.OPERATOR, Scope.FLEET))]
FleetAdmin = Annotated[Principal, Depends(RequirePage(Role.ADMIN, Scope.FLEET))]
PageCursor = Annotated[str | None, Query(max_length=500)]


class FormFields:
    """Fields that a form sent; an empty one counts as not sent."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        """Of the fields by name."""
        self._values = values

    def one(self, name: str, default: str = "") -> str:
        """The field's first value, without spaces around it."""
        return self._values.get(name, [default])[0].strip() or default

    def all(self, name: str) -> list[str]:
        """All values of the field."""
        return [value.strip() for value in self._values.get(name, []) if value.strip()]


async def read_form(request: Request) -> FormFields:
    """The form in the body.

    Raises:
        InvalidInput: It has too many fields.
    """
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return FormFields(parse_qs(body, max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        raise InvalidInput(f"the form has more than {_MAX_FIELDS} fields") from error


Form = Annotated[FormFields, Depends(read_form)]


def parse(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """A form's values as a model of the REST API, under its rules.

    Raises:
        InvalidInput: A field cannot be used; the message names it.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "the form"
        rule = in_words(str(first["msg"]).removeprefix("Value error, "))
        given = "" if isinstance(first["input"], dict) else f"={str(first['input'])[:80]!r}"
        raise InvalidInput(f"{name}{given}: {rule}") from error


def render(
    request: Request, template: str, principal: Principal | None = None, **values: Any
) -> Response:
    """A page or a part of one; `problem`, an error of a form, sets the status."""
    deps = deps_of(request)
    problem: HarmonyError | None = values.get("problem")
    shown = {"problem": None, "notice": NOTICES.get(request.query_params.get("done", ""))}
    shared = {
        "principal": principal,
        "sections": sections_of(principal, request.url.path, _has_several(deps)),
        "clusters": getattr(request.state, "seen_clusters", ()),
        "cluster": deps.cell.name,
        "now": deps.clock.now(),
        "wall_now": deps.wall.now(),  # what people do is of real time, also in a replay
        "is_replay": deps.settings.clock == "replay",
    }
    status = problem.http_status if problem else 200
    response = templates.TemplateResponse(
        request, template, shown | values | shared, status_code=status
    )
    if deps.cell.name is not None:
        response.body = in_cluster(bytes(response.body).decode(), deps.cell.name).encode()
        response.headers["Content-Length"] = str(len(response.body))
    return response


def _has_several(deps: AdminDeps) -> bool:
    """There is more than one cell to be seen, here or in another database."""
    return deps.cell.name is not None or bool(deps.peers and deps.peers.peers)


def sections_of(
    principal: Principal | None, path: str, has_several: bool = False
) -> list[tuple[str, str, bool]]:
    """The main navigation: address, name, and whether the page belongs there."""
    if principal is None:
        return []
    known = [
        *SECTIONS,
        *([CELLS] if has_several else []),
        *([KEYS] if principal.may_somewhere(Role.ADMIN) else []),
        *([AUDIT] if principal.may(Role.ADMIN, FLEET) else []),
    ]
    return [
        (address, name, path == address or path.startswith(below) if below else path == address)
        for address, name, below in known
    ]


def submit(
    write: Callable[[Caller], str],
    principal: Principal,
    again: Callable[[HarmonyError], Response],
) -> Response:
    """Carry out what a form asks for, then show the page anew, or the form with what was wrong.

    Args:
        write: Does it; returns the address that is shown afterwards.
        principal: Who asks.
        again: The page with the form, and the error on it.
    """
    try:
        target = write(Caller(principal))
    except HarmonyError as error:
        return again(error)
    return RedirectResponse(target, status_code=303)
