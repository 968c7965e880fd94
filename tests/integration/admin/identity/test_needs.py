"""Routes and what they declare that they need."""

from __future__ import annotations

import pytest
from fastapi import APIRouter

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.admin.identity.needs import OPEN_PATHS, declare_needs, needs_by_route

pytestmark = pytest.mark.integration


def test_a_route_that_declares_nothing_is_not_served(deps: AdminDeps) -> None:
    app = make_app(deps)
    needs = needs_by_route(app)
    assert {path for (_, path), found in needs.items() if not found} == set(OPEN_PATHS)
    router = APIRouter(prefix="/v1/secrets")

    @router.get("/{name}")
    def read(name: str) -> str:
        return name

    app.include_router(router)
    with pytest.raises(RuntimeError, match=r"/v1/secrets/\{name\}"):
        declare_needs(app)
