"""The page of the REST reference: what `/openapi.json` says, to read."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.admin.console.page import Visitor, templates
from services.admin.rest.edge import CONTENT_SECURITY

router = APIRouter(include_in_schema=False)

# the viewer writes its own styles into the page; all else is as on every other page
_CSP = CONTENT_SECURITY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")


@router.get("/reference")
def reference(request: Request, _: Visitor) -> Response:
    """Every operation with its parameters, bodies and answers; no more than `/openapi.json` has."""
    return templates.TemplateResponse(
        request, "reference.html", headers={"Content-Security-Policy": _CSP}
    )
