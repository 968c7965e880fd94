"""The freezes' page: times in which scaling holds still, for a workload, a namespace, the fleet."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from services.admin.console import forms
from services.admin.console.page import (
    Form,
    FormFields,
    OwnOperator,
    PageCursor,
    Visitor,
    render,
    submit,
)
from services.admin.deps import AdminDeps
from services.admin.freezes import service
from services.admin.freezes.api import FreezeId
from services.admin.freezes.schemas import FreezeRequest
from services.admin.identity.auth import Deps
from services.admin.rest.change import Caller
from services.admin.workloads.service import namespace_names, workload_names
from services.kernel.errors import HarmonyError, InvalidInput
from services.kernel.security.keys import FLEET, Principal, Role

router = APIRouter(include_in_schema=False)
_PAGE_SIZE = 50
_FIELDS = ("scope", "direction", "from_at", "until_at", "reason")


@router.get("/freezes")
def freezes(
    request: Request, deps: Deps, principal: Visitor, cursor: PageCursor = None
) -> Response:
    """Freezes, newest first, those that have ended too."""
    return _page(request, deps, principal, cursor=cursor)


def _page(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    given: dict[str, str] | None = None,
    problem: HarmonyError | None = None,
    cursor: str | None = None,
) -> Response:
    filters: dict[str, Any] = {"namespaces": principal.namespaces(), "namespace": None}
    page = service.list_freezes(deps, filters, _PAGE_SIZE, cursor)
    may_freeze = principal.may_somewhere(Role.OPERATOR)
    return render(
        request,
        "freezes.html",
        principal,
        freezes=page.items,
        next_cursor=page.next_cursor,
        given=dict.fromkeys(_FIELDS, "") | {"direction": "Both"} | (given or {}),
        is_open=given is not None or problem is not None or not page.items,
        may_freeze=may_freeze,
        may_freeze_all=principal.may(Role.OPERATOR, FLEET),
        may_lift={
            freeze.id
            for freeze in page.items
            if principal.may(Role.OPERATOR, freeze.namespace or FLEET)
        },
        scopes=_scopes(deps, principal) if may_freeze else [],
        errors=forms.errors_of(problem),
        problem=problem,
    )


def _scopes(deps: AdminDeps, principal: Principal) -> list[tuple[str, str]]:
    """What is proposed to be frozen, with its words: every namespace, and the first workloads."""
    spaces = namespace_names(deps, principal, Role.OPERATOR)
    found = [(f"{space}/", f"all of {space}") for space in spaces]
    found += [(name, name) for name in workload_names(deps, principal, Role.OPERATOR).workloads]
    return [(FLEET, "the whole fleet"), *found] if principal.may(Role.OPERATOR, FLEET) else found


@router.post("/freezes")
def create(request: Request, deps: Deps, principal: OwnOperator, form: Form) -> Response:
    """Freeze scaling between two times."""

    def write(caller: Caller) -> str:
        body = forms.check(FreezeRequest, _values(form))
        _check_namespace(deps, principal, body)
        try:
            service.create_freeze(deps, caller, body)
        except InvalidInput as error:
            raise forms.at_field(error, list(_FIELDS)) from error
        return "/freezes?done=frozen"

    def again(error: HarmonyError) -> Response:
        given = {name: form.one(name) for name in _FIELDS}
        error = forms.renamed(error, {"namespace": "scope", "workload": "scope"})
        return _page(request, deps, principal, given, error)

    return submit(write, principal, again)


def _values(form: FormFields) -> dict[str, Any]:
    """The fields as the REST API names them; `scope` is `*`, `namespace/` or `namespace/name`.

    Raises:
        FieldErrors: A time cannot be read, or nothing says what is frozen.
    """
    scope = form.one("scope").strip()
    if scope != FLEET and "/" not in scope:  # a name alone would freeze a namespace called so
        rule = "must be a workload as namespace/name, a namespace as namespace/, or * for the fleet"
        raise forms.FieldErrors({"scope": rule})
    namespace, _, name = scope.partition("/")
    until = forms.time_of(form.one("until_at"), "until_at")
    if until is None:
        raise forms.FieldErrors({"until_at": "must be a time in UTC at which it ends"})
    return {
        "namespace": None if scope == FLEET else namespace,
        "workload": name or None,
        "direction": form.one("direction", "Both"),
        "from_at": forms.time_of(form.one("from_at"), "from_at"),
        "until_at": until,
        "reason": form.one("reason"),
    }


def _check_namespace(deps: AdminDeps, principal: Principal, body: FreezeRequest) -> None:
    """Refuse to freeze a namespace without workloads: it is one that was mistyped.

    Raises:
        FieldErrors: It is one.
    """
    if body.namespace is None or body.workload is not None:
        return
    if not principal.may(Role.OPERATOR, body.namespace):
        return  # who may not freeze it is not told what there is
    if body.namespace not in namespace_names(deps, principal, Role.OPERATOR):
        rule = f"{body.namespace}/: must be a namespace with workloads"
        raise forms.FieldErrors({"scope": rule})


@router.post("/freezes/{freeze_id}/lift")
def lift(request: Request, deps: Deps, principal: OwnOperator, freeze_id: FreezeId) -> Response:
    """End a freeze early."""

    def write(caller: Caller) -> str:
        service.lift_freeze(deps, caller, freeze_id)
        return "/freezes?done=lifted"

    return submit(write, principal, lambda error: _page(request, deps, principal, None, error))
