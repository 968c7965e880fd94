"""The web console: server-rendered pages, refreshed in parts by htmx; charts fetch `/v1`."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from services.admin import formats, schemas, service, service_keys, service_series, wording
from services.admin.api_auth import (
    COOKIE,
    Deps,
    Need,
    Scope,
    address_of,
    authenticate,
    get_deps,
    require_same_origin,
)
from services.admin.api_records import Id
from services.admin.service import ListQuery
from services.admin.sessions import SESSION_S
from services.kernel import http
from services.kernel.errors import HarmonyError, Unauthorized
from services.kernel.security import Principal, Role

_HERE = Path(__file__).parent
_PAGE_SIZE = 200
router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(directory=_HERE / "templates")


@lru_cache(maxsize=1)
def asset_version() -> str:
    """Changes when any static file does, so that browsers may keep files for ever."""
    digest = hashlib.sha256()
    for path in sorted((_HERE / "static").rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


templates.env.filters.update(
    percent=formats.percent,
    number=formats.number,
    usd=formats.usd,
    duration=formats.duration,
    clock_time=formats.clock_time,
    iso=formats.iso,
    plain=wording.plain,
    short_reason=wording.short_reason,
)
templates.env.globals.update(
    ago=formats.ago, asset_version=asset_version, best_rungs=wording.BEST_RUNGS
)


def named(namespace: str, name: str) -> tuple[str, str]:
    """Namespace and name of the workload in the path."""
    return namespace, name


Named = Annotated[tuple[str, str], Depends(named)]


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


def render(
    request: Request, template: str, principal: Principal | None = None, **values: Any
) -> Response:
    """A page or a part of one."""
    deps = get_deps(request)
    values |= {
        "principal": principal,
        "now": deps.clock.now(),
        "is_replay": deps.settings.clock == "replay",
    }
    return templates.TemplateResponse(request, template, values)


@router.get("/login")
def login_page(request: Request, following: Annotated[str, Query(alias="next")] = "/") -> Response:
    """The login form."""
    return render(request, "login.html", following=local_path(following), problem="")


@router.post("/login")
async def log_in(request: Request, deps: Deps) -> Response:
    """Exchange an API key for a session cookie."""
    require_same_origin(request)
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    key = form.get("key", [""])[0].strip()
    following = local_path(form.get("next", ["/"])[0])
    try:
        token, _ = await run_in_threadpool(service_keys.log_in, deps, key, address_of(request))
    except Unauthorized:
        response = render(
            request, "login.html", following=following, problem="This API key is not valid."
        )
        response.status_code = 401
        return response
    response = RedirectResponse(following, status_code=303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
def log_out(request: Request, deps: Deps, principal: Visitor) -> Response:
    """End the session."""
    deps.sessions.close(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE)
    return response


@router.get("/")
@router.get("/fleet")
def fleet(
    request: Request,
    deps: Deps,
    principal: Visitor,
    search: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """The fleet with its live state; `/fleet` is the part that refreshes."""
    filters = {"search": search, "namespaces": principal.namespaces()}
    page = service.list_workloads(deps, filters, _PAGE_SIZE, cursor)
    template = "_fleet.html" if request.url.path == "/fleet" else "fleet.html"
    return render(
        request,
        template,
        principal,
        page=page,
        totals=fleet_totals(page.items),
        search=search,
        cursor=cursor,
    )


@router.get("/workloads/{namespace}/{name}")
def workload(request: Request, deps: Deps, principal: Visitor, key: Named) -> Response:
    """One workload: charts, decisions, forecast quality, lead times."""
    view = service.get_workload(deps, *key)
    lead = service_series.get_lead_times(deps, key)
    lead_s = lead.p90_s if lead.n_measured >= 5 and lead.p90_s else lead.prior_median_s
    return render(
        request,
        "workload.html",
        principal,
        view=view,
        quality=service_series.get_quality(deps, key),
        lead=lead,
        n_ahead=max(1, math.ceil(lead_s / view.step_s)),
        decisions=_decisions(deps, key, None, True),
        changes=True,
    )


@router.get("/workloads/{namespace}/{name}/live")
def workload_live(request: Request, deps: Deps, principal: Visitor, key: Named) -> Response:
    """The live state of one workload, refreshed by htmx."""
    view = service.get_workload(deps, *key)
    return render(request, "_live.html", principal, view=view)


@router.get("/workloads/{namespace}/{name}/timeline")
def timeline(
    request: Request,
    deps: Deps,
    principal: Visitor,
    key: Named,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    changes: bool = False,
) -> Response:
    """A page of the decision timeline."""
    view = service.get_workload(deps, *key)
    page = _decisions(deps, key, cursor, changes)
    return render(request, "_timeline.html", principal, view=view, decisions=page, changes=changes)


def _decisions(
    deps: service.AdminDeps, key: tuple[str, str], cursor: str | None, changes: bool
) -> schemas.Page[schemas.DecisionSummary]:
    query = ListQuery("/".join(key), cursor=cursor, limit=25)
    return service.list_decisions(deps, query, {"changes": changes})


@router.get("/decisions/{decision_id}")
def decision(request: Request, deps: Deps, principal: Visitor, decision_id: Id) -> Response:
    """Why a decision was made: a part of the workload's page, or a page of its own."""
    detail = service.get_decision(deps, decision_id, principal.namespaces())
    is_part = request.headers.get("hx-request") == "true"
    template = "_decision.html" if is_part else "decision.html"
    return render(request, template, principal, detail=detail, why=wording.explain(detail))


def fleet_totals(items: list[schemas.WorkloadView]) -> dict[str, Any]:
    """Sums over the workloads shown; what no workload knows stays unknown."""
    gpus: dict[str, int] = {}
    for item in items:
        if item.replicas:
            bound = (item.replicas.ready + item.replicas.starting) * item.gpus_per_replica
            gpus[item.gpu_type] = gpus.get(item.gpu_type, 0) + bound
    measured = [
        (item.risk.measured * item.risk.n_measured_steps, item.risk.n_measured_steps)
        for item in items
        if item.risk.measured is not None
    ]
    n_steps = sum(n for _, n in measured)
    costs = [item.cost_usd for item in items if item.cost_usd is not None]
    return {
        "n_workloads": len(items),
        "gpus": gpus,
        "n_gpus": sum(gpus.values()),
        "measured": sum(v for v, _ in measured) / n_steps if n_steps else None,
        "promised": max((item.risk.target for item in items), default=None),
        "cost_usd": sum(costs) if costs else None,
        "n_over": sum(
            1
            for item in items
            if item.risk.measured is not None and item.risk.measured > item.risk.target
        ),
        "n_fallback": sum(1 for item in items if is_on_fallback(item)),
        "n_paused": sum(1 for item in items if item.is_paused),
    }


def is_on_fallback(item: schemas.WorkloadView) -> bool:
    """Whether a rung below the best one answered last."""
    last = item.last_decision
    if last is None:
        return False
    rungs = {last.rung} | ({last.forecast_rung} if last.forecast_rung else set())
    return not rungs <= wording.BEST_RUNGS


def local_path(path: str) -> str:
    """`path` if it stays on this site, else the fleet: no open redirect."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"


templates.env.globals.update(is_on_fallback=is_on_fallback)


def install(app: FastAPI) -> None:
    """Add the console's routes; people get pages for errors, programs problem+json."""
    app.include_router(router)

    @app.exception_handler(LoginNeeded)
    async def on_login_needed(request: Request, error: LoginNeeded) -> Response:
        if request.headers.get("hx-request") == "true":
            return Response(status_code=401, headers={"HX-Redirect": "/login"})
        target = quote(request.url.path, safe="/")
        return RedirectResponse(f"/login?next={target}", status_code=303)

    @app.exception_handler(HarmonyError)
    async def on_harmony_error(request: Request, error: HarmonyError) -> Response:
        if _wants_page(request):
            page = _error_page(request, error.http_status, error.message)
            page.headers.update(http.headers_of(error))
            return page
        return http.from_error(error)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        if _wants_page(request):
            return _error_page(request, error.status_code, str(error.detail))
        return http.from_http_error(error)


def _wants_page(request: Request) -> bool:
    is_api = request.url.path.startswith(("/v1", "/static", "/metrics", "/healthz", "/readyz"))
    return not is_api and "text/html" in request.headers.get("accept", "")


def _error_page(request: Request, status: int, message: str) -> Response:
    values = {"status": status, "message": message, "principal": None}
    return templates.TemplateResponse(request, "error.html", values, status_code=status)
