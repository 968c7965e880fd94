"""Use cases of the model registry and of the decider's beliefs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, RowMapping

from services.admin.decisions.schemas import ModelView, Page
from services.admin.decisions.service import AdminDeps, decode_cursor, encode_cursor
from services.admin.identity.authority import check_object
from services.admin.models import repository
from services.admin.operations.schemas import PosteriorDetail, PosteriorView
from services.admin.operations.translate import to_posterior, to_posterior_detail
from services.admin.rest.change import Answer, Caller, Change, check_etag, perform
from services.kernel.errors import Conflict, NotFound
from services.kernel.security.keys import Principal, Role

_UNUSABLE = ("failed", "training")


def list_models(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[ModelView]:
    """Models, newest first."""
    if cursor is not None:
        filters = filters | {"after": decode_cursor(cursor, (int,))}
    with deps.reading() as connection:
        rows = repository.load_models(connection, filters, limit + 1)
    following = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    items = [ModelView.model_validate(dict(row)) for row in rows[:limit]]
    return Page[ModelView](items=items, next_cursor=following)


def get_model(deps: AdminDeps, version: str) -> tuple[ModelView, str]:
    """One model, and its ETag.

    Raises:
        NotFound: There is none.
    """
    with deps.reading() as connection:
        row = _find(connection, version)
    return ModelView.model_validate(dict(row)), etag_of(row)


def etag_of(row: RowMapping) -> str:
    """The ETag of a model: its status, and since when."""
    times = [row[name] for name in ("promoted_at", "retired_at") if row[name] is not None]
    newest = max(times).timestamp() if times else 0
    return f'"{row["id"]}-{row["status"]}-{newest:.6f}"'


def _find(connection: Connection, version: str) -> RowMapping:
    row = repository.load_model(connection, version)
    if row is None:
        raise NotFound(f"model {version!r} does not exist")
    return row


def promote(
    deps: AdminDeps, caller: Caller, version: str, reason: str, if_match: str | None = "*"
) -> Answer:
    """Let a stored model serve, whatever its back-test said.

    Raises:
        NotFound: There is none.
        Conflict: It serves already, failed, or is still being trained.
        PreconditionFailed: An ETag was sent and is stale.
    """

    def act(one: Change, row: RowMapping) -> None:
        if row["status"] == "promoted" or row["status"] in _UNUSABLE or row["n_bytes"] is None:
            raise Conflict(
                f"model {version!r} is {row['status']}; a shadow or retired one with weights is "
                "right"
            )
        at = deps.clock.now()
        repository.set_promoted(one.connection, row["id"], reason or "promoted by hand", at)

    return _change(deps, caller, ("model.promote", lambda _: version, if_match), act)


def shadow(
    deps: AdminDeps, caller: Caller, version: str, reason: str, if_match: str | None = "*"
) -> Answer:
    """Take a model out of service, or a retired one back among the candidates.

    Where it served, the best simple forecasters answer until another model is promoted.

    Raises:
        NotFound: There is none.
        Conflict: It is a shadow already, failed, or is still being trained.
        PreconditionFailed: An ETag was sent and is stale.
    """

    def act(one: Change, row: RowMapping) -> None:
        if row["status"] == "shadow" or row["status"] in _UNUSABLE:
            raise Conflict(
                f"model {version!r} is {row['status']}; a promoted or retired one is right"
            )
        repository.set_shadow(one.connection, row["id"], reason or "taken out of service by hand")

    return _change(deps, caller, ("model.shadow", lambda _: version, if_match), act)


def roll_back(deps: AdminDeps, caller: Caller, reason: str) -> Answer:
    """Let the model before the present one serve again.

    Raises:
        NotFound: No model served before.
    """

    def previous(connection: Connection) -> str:
        row = repository.load_last_retired(connection)
        if row is None:
            raise NotFound("no model served before the present one; nothing to roll back to")
        return str(row["version"])

    def act(one: Change, row: RowMapping) -> None:
        words = f"rolled back: {reason or 'by hand'}"
        repository.set_promoted(one.connection, row["id"], words, deps.clock.now())

    return _change(deps, caller, ("model.roll_back", previous, "*"), act)


def _change(
    deps: AdminDeps,
    caller: Caller,
    what: tuple[str, Callable[[Connection], str], str | None],
    act: Callable[[Change, RowMapping], None],
) -> Answer:
    """Change one model under the registry's lock, audited with what served before and after."""
    action, named, if_match = what

    def change(one: Change) -> Answer:
        repository.lock_registry(one.connection)
        version = named(one.connection)
        row = _find(one.connection, version)
        check_etag(if_match, etag_of(row), f"model {version!r}")
        serving = repository.load_promoted(one.connection)
        act(one, row)
        now_serving = repository.load_promoted(one.connection)
        before = {"status": row["status"], "serving": serving and serving["version"]}
        stored = _find(one.connection, version)
        after = {
            "status": stored["status"],
            "serving": now_serving and now_serving["version"],
            "reason": stored["reason"],
        }
        one.audit(action, f"model/{version}", before, after)
        view = ModelView.model_validate(dict(stored))
        return Answer(200, view, {"ETag": etag_of(stored)})

    return perform(deps, caller, change)


def list_posteriors(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[PosteriorView]:
    """Beliefs, newest first."""
    if cursor is not None:
        filters = filters | {"after": decode_cursor(cursor, (int,))}
    with deps.reading() as connection:
        rows = repository.load_posteriors(connection, filters, limit + 1)
    following = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    items = [to_posterior(row) for row in rows[:limit]]
    return Page[PosteriorView](items=items, next_cursor=following)


def get_posterior(deps: AdminDeps, principal: Principal, posterior_id: int) -> PosteriorDetail:
    """One belief with quantiles of its draws.

    Raises:
        NotFound: There is none, or none that can be seen.
    """
    missing = f"posterior {posterior_id} does not exist"
    with deps.reading() as connection:
        row = repository.load_posterior(connection, posterior_id)
    if row is None:
        raise NotFound(missing)
    if row["namespace"] is not None:
        check_object(principal, Role.VIEWER, row["namespace"], missing)
    return to_posterior_detail(row)
