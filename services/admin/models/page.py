"""The models' page: what serves, what waits, their back-tests; promote and roll back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request, Response

from services.admin.console.page import (
    FleetAdmin,
    FleetOperator,
    Form,
    PageCursor,
    Visitor,
    parse,
    render,
    submit,
)
from services.admin.deps import AdminDeps
from services.admin.identity.auth import Deps
from services.admin.models import service
from services.admin.models.schemas import ModelChange, ModelView
from services.admin.operations.schemas import TrainRequest
from services.admin.operations.service import list_operations, submit_training
from services.admin.rest.change import Caller
from services.kernel.errors import HarmonyError
from services.kernel.security.keys import FLEET, Principal, Role

router = APIRouter(include_in_schema=False)
_PAGE_SIZE = 20
_USABLE = {"shadow", "retired"}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model with its back-test; None: the figure is not kept of it."""

    model: ModelView
    crps: float | None
    crps_simple: float | None
    skill: float | None
    n_better: int | None
    n_compared: int | None

    @property
    def may_serve(self) -> bool:
        """True where it could be promoted."""
        return self.model.status in _USABLE and self.model.n_bytes is not None


def to_row(model: ModelView) -> ModelRow:
    """A model with the figures of its back-test."""
    metrics = model.metrics
    ratios = metrics.get("ratios")
    found = [r for r in ratios.values() if r is not None] if isinstance(ratios, dict) else None
    return ModelRow(
        model=model,
        crps=_figure(metrics.get("backtest_crps", metrics.get("crps"))),
        crps_simple=_figure(metrics.get("backtest_crps_best_simple")),
        skill=_figure(metrics.get("backtest_skill")),
        n_better=None if found is None else sum(ratio < 1 for ratio in found),
        n_compared=None if found is None else len(found),
    )


def _figure(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


@router.get("/models")
def models(request: Request, deps: Deps, principal: Visitor, cursor: PageCursor = None) -> Response:
    """The registry, newest first."""
    return _page(request, deps, principal, cursor)


def _page(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    cursor: str | None = None,
    problem: HarmonyError | None = None,
) -> Response:
    page = service.list_models(deps, {}, _PAGE_SIZE, cursor)
    serving = service.list_models(deps, {"status": "promoted"}, 1, None).items
    work = list_operations(deps, principal, {"kind": "train_model"}, 3)
    return render(
        request,
        "models.html",
        principal,
        rows=[to_row(model) for model in page.items],
        serving=serving[0] if serving else None,
        has_prior=deps.settings.has_prior,
        trainings=work.items,
        next_cursor=page.next_cursor,
        may_change=principal.may(Role.ADMIN, FLEET),
        may_train=principal.may(Role.OPERATOR, FLEET),
        problem=problem,
    )


@router.post("/models/train")
def train(request: Request, deps: Deps, principal: FleetOperator, form: Form) -> Response:
    """Queue a fit."""

    def write(caller: Caller) -> str:
        submit_training(deps, caller, TrainRequest(is_fresh=False))
        return "/models?done=training"

    return submit(write, principal, lambda error: _page(request, deps, principal, None, error))


@router.post("/models/roll-back")
def roll_back(request: Request, deps: Deps, principal: FleetAdmin, form: Form) -> Response:
    """Let the model before serve again."""

    def write(caller: Caller) -> str:
        service.roll_back(deps, caller, _reason(form.one("reason")), form.one("serving"))
        return "/models?done=rolled-back"

    return submit(write, principal, lambda error: _page(request, deps, principal, None, error))


@router.post("/models/{version}/{change}")
def change_status(
    request: Request,
    deps: Deps,
    principal: FleetAdmin,
    version: str,
    change: Literal["promote", "shadow"],
    form: Form,
) -> Response:
    """Let a model serve, or take it out of service."""

    def write(caller: Caller) -> str:
        reason = _reason(form.one("reason"))
        if change == "promote":
            service.promote(deps, caller, version, reason)
            return "/models?done=promoted"
        service.shadow(deps, caller, version, reason)
        return "/models?done=shadowed"

    return submit(write, principal, lambda error: _page(request, deps, principal, None, error))


def _reason(text: str) -> str:
    return parse(ModelChange, {"reason": text}).reason
