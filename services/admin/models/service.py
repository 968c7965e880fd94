"""Use cases of the model registry and of the decider's beliefs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, RowMapping

from services.admin.deps import AdminDeps
from services.admin.identity.authority import check_object
from services.admin.models import repository
from services.admin.models.schemas import ModelView, PosteriorDetail, PosteriorView
from services.admin.models.translate import Seen, to_model, to_posterior, to_posterior_detail
from services.admin.rest.change import Answer, Caller, Change, check_etag, perform
from services.admin.rest.cursors import page_of, position
from services.admin.rest.schemas import Page
from services.kernel.db.clusters import find_cluster, load_clusters
from services.kernel.errors import Conflict, NotFound
from services.kernel.security.keys import FLEET, Principal, Role

_UNUSABLE = ("failed", "training")


def list_models(
    deps: AdminDeps,
    filters: dict[str, Any],
    limit: int,
    cursor: str | None,
    principal: Principal | None = None,
) -> Page[ModelView]:
    """Models, newest first.

    Args:
        deps: Dependencies.
        filters: `status`, `from_at`, `to_at`.
        limit: Items at most.
        cursor: Of an earlier page.
        principal: Whose workloads are named; None: all are, for counts of them.
    """
    filters = filters | position(cursor, (int,))
    with deps.reading() as connection:
        rows = repository.load_models(connection, filters, limit + 1)
        seen = _seen_by(deps, connection, principal)
    return page_of(Page[ModelView], rows, limit, ("id",), lambda row: to_model(row, seen))


def get_model(deps: AdminDeps, version: str, principal: Principal) -> tuple[ModelView, str]:
    """One model, with the workloads that `principal` may see, and its ETag.

    Raises:
        NotFound: There is none.
    """
    with deps.reading() as connection:
        row = _find(connection, version)
        seen = _seen_by(deps, connection, principal)
    return to_model(row, seen), etag_of(row)


def _seen_by(deps: AdminDeps, connection: Connection, principal: Principal | None) -> Seen:
    """The workloads that a model names for a caller: those of its namespaces, in its cluster."""
    if principal is None:
        return Seen()
    name = deps.cell.name
    cluster_id = None if name is None else find_cluster(load_clusters(connection), name).id
    return Seen(principal.namespaces(), cluster_id)


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
    """Let a stored model serve, whatever its back-test found.

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

    return _change(deps, caller, "model.promote", act, lambda _: version, if_match)


def shadow(
    deps: AdminDeps, caller: Caller, version: str, reason: str, if_match: str | None = "*"
) -> Answer:
    """Take a model out of service, or a retired one back among the candidates.

    Where it served, the prior answers until another model is promoted, or where that is
    switched off the best simple forecasters.

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

    return _change(deps, caller, "model.shadow", act, lambda _: version, if_match)


def roll_back(deps: AdminDeps, caller: Caller, reason: str, serving: str = "") -> Answer:
    """Let the model before the present one serve again.

    Args:
        deps: Dependencies.
        caller: Who asks.
        reason: Why.
        serving: The model that the caller has seen serve; empty: whichever does.

    Raises:
        NotFound: No model served before.
        Conflict: Another one than `serving` serves: asked twice, it would serve again.
    """

    def previous(connection: Connection) -> str:
        present = repository.load_promoted(connection)
        if serving and (present is None or present["version"] != serving):
            raise Conflict(
                f"model {serving!r} does not serve any more; what does is shown: nothing was "
                "rolled back now"
            )
        row = repository.load_last_retired(connection)
        if row is None:
            raise NotFound("no model served before the present one; nothing to roll back to")
        return str(row["version"])

    def act(one: Change, row: RowMapping) -> None:
        words = f"rolled back: {reason or 'by hand'}"
        repository.set_promoted(one.connection, row["id"], words, deps.clock.now())

    return _change(deps, caller, "model.roll_back", act, previous, "*")


def _change(
    deps: AdminDeps,
    caller: Caller,
    action: str,
    act: Callable[[Change, RowMapping], None],
    version_of: Callable[[Connection], str],
    if_match: str | None,
) -> Answer:
    """Change one model under the registry's lock, audited with what served before and after."""

    def change(one: Change) -> Answer:
        repository.lock_registry(one.connection)
        version = version_of(one.connection)
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
        view = to_model(stored)
        return Answer(200, view, {"ETag": etag_of(stored)})

    return perform(deps, caller, change)


def list_posteriors(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[PosteriorView]:
    """Beliefs, newest first."""
    filters = filters | position(cursor, (int,))
    with deps.reading() as connection:
        rows = repository.load_posteriors(connection, filters, limit + 1)
    return page_of(Page[PosteriorView], rows, limit, ("id",), to_posterior)


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
    if row["scope"].startswith(repository.OWN_SCOPE):
        check_object(principal, Role.VIEWER, row["namespace"] or FLEET, missing)
    return to_posterior_detail(row)
