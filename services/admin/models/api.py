"""Routes of the model registry and of the decider's beliefs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response

from services.admin.identity.auth import AsReader, Deps
from services.admin.models import service
from services.admin.models.schemas import ModelChange, ModelView, PosteriorDetail, PosteriorView
from services.admin.operations.schemas import OperationDetail, TrainRequest
from services.admin.operations.service import submit_training
from services.admin.rest.filters import Times
from services.admin.rest.params import Cursor, Limit
from services.admin.rest.problems import PROBLEMS, WRITE_PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page
from services.admin.rest.write import (
    ETAG_HEADER,
    AdminWrites,
    IfMatch,
    OperatorWrites,
    respond,
    tagged,
)

router = Router(prefix="/v1", responses=PROBLEMS)
Version = Annotated[str, Path(max_length=200, examples=["harmony-flow-3"])]
ModelStatus = Annotated[
    str | None,
    Query(pattern="^(training|shadow|promoted|retired|failed)$", examples=["promoted"]),
]

PosteriorKind = Annotated[
    str | None, Query(pattern="^(lead_time|capacity|response|misses)$", examples=["lead_time"])
]
PosteriorStatus = Annotated[
    str | None, Query(pattern="^(promoted|rejected)$", examples=["promoted"])
]


@router.get("/models", tags=["models"])
def list_models(
    deps: Deps,
    principal: AsReader,
    period: Times,
    status: ModelStatus = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ModelView]:
    """The model registry, newest first, by time of creation."""
    return service.list_models(deps, period | {"status": status}, limit, cursor, principal)


@router.get("/models/{version}", tags=["models"], responses={200: ETAG_HEADER})
def get_model(deps: Deps, principal: AsReader, response: Response, version: Version) -> ModelView:
    """One model with the figures of its back-test, and the workloads that the caller may see."""
    return tagged(response, *service.get_model(deps, version, principal))


@router.post(
    "/models/train",
    tags=["models"],
    status_code=202,
    response_model=OperationDetail,
    responses=WRITE_PROBLEMS,
)
def train(deps: Deps, caller: OperatorWrites, body: TrainRequest) -> Response:
    """Train on the active workloads, back-test, and promote if better; answers an operation."""
    return respond(submit_training(deps, caller, body))


@router.post(
    "/models/roll-back", tags=["models"], response_model=ModelView, responses=WRITE_PROBLEMS
)
def roll_back(deps: Deps, caller: AdminWrites, body: ModelChange) -> Response:
    """Let the model before the present one serve again; answers the one that serves now."""
    return respond(service.roll_back(deps, caller, body.reason))


@router.post(
    "/models/{version}/promote",
    tags=["models"],
    response_model=ModelView,
    responses=WRITE_PROBLEMS | {200: ETAG_HEADER},
)
def promote(
    deps: Deps, caller: AdminWrites, version: Version, body: ModelChange, if_match: IfMatch = None
) -> Response:
    """Let a stored model serve, whatever its back-test said; the one before it is retired."""
    answer = service.promote(deps, caller, version, body.reason, if_match or "*")
    return respond(answer)


@router.post(
    "/models/{version}/shadow",
    tags=["models"],
    response_model=ModelView,
    responses=WRITE_PROBLEMS | {200: ETAG_HEADER},
)
def shadow(
    deps: Deps, caller: AdminWrites, version: Version, body: ModelChange, if_match: IfMatch = None
) -> Response:
    """Take a model out of service, or a retired one back among the candidates.

    Where it served, the prior answers until another one is promoted, or where that is switched
    off the best simple forecasters.
    """
    answer = service.shadow(deps, caller, version, body.reason, if_match or "*")
    return respond(answer)


@router.get("/posteriors", tags=["posteriors"])
def list_posteriors(  # noqa: PLR0913 - one argument per filter
    deps: Deps,
    principal: AsReader,
    period: Times,
    kind: PosteriorKind = None,
    scope: Annotated[str | None, Query(max_length=100, examples=["gpu_type:H100"])] = None,
    status: PosteriorStatus = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[PosteriorView]:
    """Beliefs about lead times, capacities and latencies, newest first, by time of the fit."""
    filters = period | {
        "kind": kind,
        "scope": scope,
        "status": status,
        "namespaces": principal.namespaces(),
    }
    return service.list_posteriors(deps, filters, limit, cursor)


@router.get("/posteriors/{posterior_id}", tags=["posteriors"])
def get_posterior(
    deps: Deps, principal: AsReader, posterior_id: Annotated[int, Path(ge=1, lt=2**31)]
) -> PosteriorDetail:
    """One belief with quantiles of its draws."""
    return service.get_posterior(deps, principal, posterior_id)
