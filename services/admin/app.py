"""The admin application: REST under `/v1`, the console, health, security headers."""

from __future__ import annotations

from pathlib import Path

import redis
from fastapi import FastAPI, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.staticfiles import StaticFiles

from services.admin import pages
from services.admin.access import api as access
from services.admin.approvals import api as approvals
from services.admin.budgets import api as budgets
from services.admin.cells import api as cells
from services.admin.classes import api as classes
from services.admin.controls import api as controls
from services.admin.decisions import api as decisions
from services.admin.deps import AdminDeps
from services.admin.events import api as events
from services.admin.freezes import api as freezes
from services.admin.identity.auth import Deps
from services.admin.identity.needs import declare_needs
from services.admin.models import api as models
from services.admin.operations import api as operations
from services.admin.registration import api as registration
from services.admin.rest import edge, schemas
from services.admin.rest.examples import install_examples
from services.admin.series import api as series, fans_api
from services.admin.showback import api as showback
from services.admin.workloads import api as workloads
from services.kernel import telemetry
from services.kernel.db.migrations import see_schema
from services.kernel.http import application as http
from services.kernel.security.audit import note_audit_head

_HERE = Path(__file__).parent
_DESCRIPTION = """\
Scales GPU services on Kubernetes ahead of demand, under a stated risk.

Times are RFC 3339 in UTC. Names carry their units. Lists are newest first and paged by cursor.
Errors are problem+json (RFC 9457) with a stable `code`.
"""


def make_app(deps: AdminDeps) -> FastAPI:
    """The application on the given dependencies."""
    app = FastAPI(
        title="Harmony admin API",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # most clients take a redirected POST for done
    )
    app.state.deps = deps
    http.install(app, "admin", deps.settings.max_body_bytes)
    for room in (
        workloads,
        series,
        decisions,
        budgets,
        cells,
        access,
        controls,
        events,
        fans_api,
        freezes,
        classes,
        approvals,
        models,
        operations,
        registration,
        showback,
    ):
        # as they are: included, each would be built anew for every application
        app.router.routes.extend(room.router.routes)
    _add_health(app)
    pages.install(app)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    declare_needs(app)
    install_examples(app)
    edge.install(app, deps)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["health"])
    def healthz() -> schemas.Health:
        """The process answers."""
        return schemas.Health()

    @app.get(
        "/readyz",
        tags=["health"],
        responses={503: {"description": "A check failed"}},
        response_model=schemas.Readiness,
    )
    def readyz(deps: Deps) -> schemas.Readiness | Response:
        """Database and schema are as the service needs them.

        Redis is looked at too, and not needed: without it nobody has a session of the console, and
        all that keys and tokens may do goes on.
        """
        checks = {"database": _check_database(deps)}
        if checks["database"] == "ok":
            seen = see_schema(deps.engine)
            checks["schema"] = "ok" if seen.is_served else seen.message
        failed = [name for name, result in checks.items() if result != "ok"]
        checks["redis"] = _check_redis(deps)
        if not failed:
            with deps.engine.connect() as connection:
                note_audit_head(connection)
            return schemas.Readiness(checks=checks)
        errors = [{"field": name, "message": checks[name]} for name in failed]
        return http.problem(503, "unavailable", f"not ready: {', '.join(failed)}", errors)


def _check_database(deps: AdminDeps) -> str:
    try:
        with deps.engine.connect():
            return "ok"
    except SQLAlchemyError:
        return "cannot be reached"


def _check_redis(deps: AdminDeps) -> str:
    try:
        found = "ok" if deps.redis.ping() else "does not answer"
    except redis.RedisError:
        found = "cannot be reached"
    telemetry.redis_unreachable.set(found != "ok")
    return found
