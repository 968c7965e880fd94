"""Routes of callers, API keys and the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response

from services.admin.access import schemas, service
from services.admin.identity.auth import AsAdmin, AsOwnAdmin, AsReader, Deps
from services.admin.rest.filters import Times
from services.admin.rest.params import Cursor, Limit
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page

router = Router(prefix="/v1", responses=PROBLEMS)
KeyId = Annotated[int, Path(ge=1, lt=2**31)]


@router.get("/whoami", tags=["keys"])
def whoami(principal: AsReader) -> schemas.WhoAmI:
    """Who the credential belongs to, and what it allows."""
    return service.describe(principal)


@router.get("/audit", tags=["audit"])
def list_audit(  # noqa: PLR0913 - one argument per filter
    deps: Deps,
    principal: AsAdmin,
    period: Times,
    actor: Annotated[str | None, Query(max_length=300, description="Exactly")] = None,
    action: Annotated[str | None, Query(max_length=100, examples=["pause.set"])] = None,
    subject: Annotated[
        str | None,
        Query(alias="object", max_length=400, description="How it begins", examples=["workload/"]),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[schemas.AuditView]:
    """The audit log, newest first."""
    filters = {"actor": actor, "action": action, "object": subject, **period}
    return service.list_audit(deps, limit, cursor, filters)


@router.get("/audit/check", tags=["audit"])
def check_audit(
    deps: Deps,
    principal: AsAdmin,
    anchor: Annotated[
        str | None, Query(max_length=100, description="`head` of an earlier check")
    ] = None,
) -> schemas.AuditCheck:
    """Recompute the audit chain: was an entry changed, inserted or removed?"""
    return service.check_audit(deps, anchor)


@router.get("/keys", tags=["keys"])
def list_keys(
    deps: Deps, principal: AsOwnAdmin, limit: Limit = 50, cursor: Cursor = None
) -> Page[schemas.KeyView]:
    """API keys, newest first, revoked ones too; never their secrets.

    An admin of some namespaces sees the keys that hold in those only.
    """
    return service.page_keys(deps, principal, limit, cursor)


@router.post("/keys", tags=["keys"], status_code=201)
def create_key(deps: Deps, principal: AsOwnAdmin, body: schemas.KeyRequest) -> schemas.KeyCreated:
    """Make an API key; the answer holds its token, which is shown this once."""
    return service.create_key(deps, body, principal)


@router.post("/keys/{key_id}/rotate", tags=["keys"], status_code=201)
def rotate_key(
    deps: Deps, principal: AsOwnAdmin, key_id: KeyId, body: schemas.KeyRotation
) -> schemas.KeyCreated:
    """Make a key that takes another's place; the old one is accepted for the grace.

    The new key has the old one's name, role and namespaces, and as long a life.
    """
    return service.rotate_key(deps, key_id, body.grace_s, principal)


@router.delete("/keys/{key_id}", tags=["keys"], status_code=204, response_class=Response)
def revoke_key(deps: Deps, principal: AsOwnAdmin, key_id: KeyId) -> None:
    """Revoke an API key."""
    service.revoke_key(deps, key_id, principal)
