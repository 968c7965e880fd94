"""The keys' page: make, rotate and revoke API keys; a new one is shown once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from services.admin.access import service
from services.admin.access.api import KeyId
from services.admin.access.schemas import KeyCreated, KeyRequest, KeyRotation, KeyView
from services.admin.console import forms
from services.admin.console.page import Form, FormFields, OwnAdmin, render, submit
from services.admin.deps import AdminDeps
from services.admin.identity.auth import Deps
from services.admin.rest.change import Caller
from services.kernel.db.clusters import EVERY
from services.kernel.errors import HarmonyError, InvalidInput
from services.kernel.security.keys import FLEET, Principal, Role

router = APIRouter(include_in_schema=False)
_FIELDS = ("key_name", "role", "cluster", "namespaces", "expires_at")
GRACES = (("86400", "1 day"), ("0", "not any more"), ("3600", "1 hour"), ("604800", "7 days"))
"""For how long a key that was replaced is still accepted; the first is the usual one."""
ROLES = (
    ("viewer", "viewer: reads"),
    ("operator", "operator: sets policies, pauses, schedules, freezes; runs backtests"),
    ("approver", "approver: approves and rejects decisions as well"),
    ("admin", "admin: keys, models and the audit log as well"),
)


def state_of(key: KeyView, now: datetime) -> str:
    """State of a key in one word."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "replaced" if key.replaced_by is not None else "expired"
    return "replaced" if key.replaced_by is not None else "in force"


@router.get("/keys")
def keys(request: Request, deps: Deps, principal: OwnAdmin) -> Response:
    """The keys that the visitor administers, newest first."""
    return _page(request, deps, principal)


def _page(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    given: dict[str, str] | None = None,
    problem: HarmonyError | None = None,
    made: KeyCreated | None = None,
) -> Response:
    now = deps.wall.now()
    found = service.list_keys(deps, principal, deps.cell.name)
    return render(
        request,
        "keys.html",
        principal,
        rows=[(key, state_of(key, now)) for key in found],
        given=dict.fromkeys(_FIELDS, "")
        | {"role": "viewer", "cluster": deps.cell.name or ""}
        | (given or {}),
        key_clusters=_clusters(deps, principal),
        is_open=given is not None or problem is not None,
        may_all=principal.may(Role.ADMIN, FLEET),
        own_id=principal.key_id,
        roles=ROLES,
        graces=GRACES,
        made=made,
        errors=forms.errors_of(problem),
        problem=problem,
    )


def _clusters(deps: AdminDeps, principal: Principal) -> list[tuple[str, str]]:
    """Where a key may hold, as a form's choices; none where there is nothing to choose from."""
    own = principal.clusters
    names = [(name, name) for name in deps.cluster_names if own is None or name in own]
    if len(names) < 2:
        return []
    return [*names, (EVERY, "every cluster")] if own is None else names


@router.post("/keys")
def create(request: Request, deps: Deps, principal: OwnAdmin, form: Form) -> Response:
    """Make a key; the answer shows it and is kept by nobody, so it is no redirect."""
    try:
        made = service.create_key(deps, _body(form, deps.cell.name), principal)
    except HarmonyError as error:
        given = {name: form.one(name) for name in _FIELDS}
        return _page(request, deps, principal, given, _at_form_field(error))
    return _page(request, deps, principal, made=made)


def _body(form: FormFields, cluster: str | None) -> KeyRequest:
    """The key that is asked for; in the cluster of the page where the form names none."""
    given = form.one("namespaces")
    named = [part.strip() for part in given.split(",") if part.strip()]
    if given and not named:  # none named would be all of them
        rule = "must name namespaces, or be empty for all"
        raise forms.FieldErrors({"namespaces": f"{given[:60]}: {rule}"})
    values: dict[str, Any] = {
        "name": form.one("key_name"),
        "role": form.one("role"),
        "cluster": form.one("cluster") or cluster,
        "namespaces": named or None,
        "expires_at": forms.time_of(form.one("expires_at"), "expires_at"),
    }
    return forms.check(KeyRequest, values)


def _at_form_field(error: HarmonyError) -> HarmonyError:
    """An error by the form's field names: `name` is `key_name` there."""
    if isinstance(error, InvalidInput):
        error = forms.at_field(error, list(_FIELDS))
    return forms.renamed(error, {"name": "key_name"})


@router.post("/keys/{key_id}/rotate")
def rotate(
    request: Request, deps: Deps, principal: OwnAdmin, key_id: KeyId, form: Form
) -> Response:
    """Make a key that takes another's place, and show it."""
    try:
        grace = forms.check(KeyRotation, {"grace_s": form.one("grace_s", GRACES[0][0])})
        made = service.rotate_key(deps, key_id, grace.grace_s, principal)
    except HarmonyError as error:
        return _page(request, deps, principal, None, error)
    return _page(request, deps, principal, made=made)


@router.post("/keys/{key_id}/revoke")
def revoke(request: Request, deps: Deps, principal: OwnAdmin, key_id: KeyId) -> Response:
    """Revoke a key."""

    def write(caller: Caller) -> str:
        service.revoke_key(deps, key_id, caller.principal)
        return "/keys?done=revoked"

    return submit(write, principal, lambda error: _page(request, deps, principal, None, error))
