"""The policy's page: what holds and where it comes from; a change is shown before it is made."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from fastapi import APIRouter, Request, Response

from services.admin.console.forms import FieldErrors, at_field, check, errors_of
from services.admin.console.page import Form, FormFields, OwnOperator, Visitor, render, submit
from services.admin.console.paths import Key, path_of
from services.admin.controls import wording
from services.admin.controls.schemas import PolicyPatch
from services.admin.controls.service import check_policy, get_policy, patch_policy
from services.admin.controls.wording import LABELS, stale
from services.admin.deps import AdminDeps
from services.admin.identity.auth import Deps
from services.admin.rest.change import Caller
from services.admin.rest.service import WorkloadKey
from services.admin.workloads import service
from services.kernel.errors import HarmonyError, InvalidInput, PreconditionFailed
from services.kernel.security.keys import Principal, Role

router = APIRouter(include_in_schema=False)
_PATH = "/workloads/{namespace}/{name}/policy"


@router.get(_PATH)
def policy(request: Request, deps: Deps, principal: Visitor, key: Key) -> Response:
    """The policy of a workload, with the form that changes it."""
    return _page(request, deps, principal, key)


def _page(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    key: WorkloadKey,
    given: dict[str, str] | None = None,
    problem: HarmonyError | None = None,
) -> Response:
    """The page; `if_match` of what was given is what the form that comes back rests on."""
    view = service.get_workload(deps, *key)
    found, etag = get_policy(deps, key)
    own = {name: _as_text(name, found.overrides.get(name)) for name in LABELS}
    return render(
        request,
        "policy.html",
        principal,
        path=path_of(key),
        view=view,
        policy=found,
        etag=(given or {}).get("if_match") or etag,
        given=own if given is None else given,
        labels=wording.labels(found),
        epsilon_field=wording.epsilon_field(found),
        modes=wording.MODES,
        shown=wording.shown,
        may_change=principal.may(Role.OPERATOR, key.namespace) and view.may_be_held,
        errors=errors_of(problem),
        problem=problem,
    )


def _as_text(name: str, value: Any) -> str:
    if value is None:
        return ""
    return f"{Decimal(str(value)) * 100:f}" if name == "epsilon" else str(value)


@router.post(_PATH)
def change(request: Request, deps: Deps, principal: OwnOperator, key: Key, form: Form) -> Response:
    """Show what a change would mean; once that is confirmed, make it."""
    given = {name: form.one(name) for name in LABELS}

    def again(error: HarmonyError | None) -> Response:
        shown = given | {"if_match": form.one("if_match")}
        if isinstance(error, PreconditionFailed):  # told once; nobody has seen the change before
            error, shown = stale(get_policy(deps, key)[0], deps.wall.now()), given
        if isinstance(error, InvalidInput):
            error = at_field(error, list(LABELS))
        return _page(request, deps, principal, key, shown, error)

    def write(caller: Caller) -> str:
        patch = check(PolicyPatch, _values(form))
        patch_policy(deps, caller, key, patch, form.one("if_match") or None)
        return f"{path_of(key)}/policy?done=policy"

    if form.one("again"):
        return again(None)
    if form.one("confirmed"):
        return submit(write, principal, again)
    try:
        return _confirm(request, deps, principal, key, form)
    except HarmonyError as error:
        return again(error)


def _confirm(
    request: Request, deps: AdminDeps, principal: Principal, key: WorkloadKey, form: FormFields
) -> Response:
    """The page that says what a change would mean.

    Raises:
        InvalidInput: It cannot be made.
        PreconditionFailed: Somebody else was faster.
    """
    patch = check(PolicyPatch, _values(form))
    found, etag = get_policy(deps, key)
    if form.one("if_match") != etag:
        raise PreconditionFailed("the policy has changed")
    wanted = patch.model_dump()
    view = service.get_workload(deps, *key)
    changes = wording.changes(found, wanted, view)
    if not changes:
        raise InvalidInput("Nothing would change: every field is as it stands.")
    check_policy(deps, principal, key, patch)
    return render(
        request,
        "policy_confirm.html",
        principal,
        path=path_of(key),
        view=view,
        changes=changes,
        etag=etag,
        given={name: form.one(name) for name in LABELS},
    )


def _values(form: FormFields) -> dict[str, Any]:
    """Every field as the REST API names it; one that is empty goes back to the object's own."""
    values: dict[str, Any] = {name: form.one(name) or None for name in LABELS}
    if values["epsilon"] is not None:
        values["epsilon"] = _share(values["epsilon"])
    return values


def _share(text: str) -> float:
    """A percentage as a share.

    Raises:
        FieldErrors: It is none, or no promise.
    """
    rule = "must be a percentage over 0 and under 100, e.g. 1 or 0.5"
    try:
        share = float(Decimal(text.replace(",", ".")) / 100)
    except InvalidOperation as error:
        raise FieldErrors({"epsilon": f"{text[:60]}: {rule}"}) from error
    if not 0 < share < 1:
        raise FieldErrors({"epsilon": f"{text[:60]} %: {rule}"})
    return share
