"""Needs of each route, read from its dependencies and written into the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from services.admin.identity.auth import Need, Scope
from services.kernel.security.keys import Role

OPEN_PATHS = frozenset(
    {
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/login",
        "/login/oidc",
        "/login/oidc/callback",
        "/static",
    }
)
"""Routes that anyone may ask; every other one declares what it needs."""


_CLUSTER: dict[str, Any] = {
    "name": "cluster",
    "in": "query",
    "required": False,
    "description": "Of several clusters the one that is meant; else 409 where a workload is named",
    "schema": {"type": "string", "maxLength": 63},
    "example": "default",
}
"""Every route takes it: it is read where the caller's rights are (`auth.Need`)."""


_CONVERTER = re.compile(r":\w+}")
"""What a path says of the kind of a parameter; the document does not: `{gpu_type:path}`."""


def needs_by_route(app: FastAPI) -> dict[tuple[str, str], tuple[Need, ...]]:
    """Needs of each route, by method and path; an empty tuple: it declares none."""
    found: dict[tuple[str, str], tuple[Need, ...]] = {}
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        needs = tuple(_needs(dependant)) if isinstance(dependant, Dependant) else ()
        for method in (route.methods or {"GET"}) - {"HEAD"}:
            found[method, _CONVERTER.sub("}", route.path or "")] = needs
    return found


def _needs(dependant: Dependant) -> Iterator[Need]:
    if isinstance(dependant.call, Need):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _needs(inner)


def declare_needs(app: FastAPI) -> None:
    """Make the OpenAPI document say what each route needs.

    Raises:
        RuntimeError: A route that is not open declares nothing; it is not to be served.
    """
    by_route = needs_by_route(app)
    undeclared = sorted({path for (_, path), needs in by_route.items() if not needs} - OPEN_PATHS)
    if undeclared:
        raise RuntimeError(f"{undeclared} declare no role: give them a dependency of identity.auth")
    without_needs = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = without_needs()
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    needs = by_route[method.upper(), path]
                    operation.update(_declared(path, needs))
                    if needs:
                        operation.setdefault("parameters", []).append(_CLUSTER)
        return without_needs()

    app.openapi = openapi  # type: ignore[method-assign]  # the extension point of FastAPI


def _declared(path: str, needs: tuple[Need, ...]) -> dict[str, str]:
    if not needs:
        return {}
    strictest = max(needs, key=lambda need: list(Role).index(need.role))
    is_fleet = any(need.scope is Scope.FLEET for need in needs)
    scope = "namespace" if "{namespace}" in path else "fleet" if is_fleet else "own"
    return {"x-required-role": strictest.role.value, "x-role-scope": scope}
