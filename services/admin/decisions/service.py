"""Use cases of the admin service: one transaction each, rows in, API values out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import redis
from sqlalchemy import Connection, Engine, RowMapping

from services.admin.decisions import repository, schemas, translate
from services.admin.identity.authority import check_visible
from services.admin.sessions import SessionStore
from services.kernel.clock import Clock
from services.kernel.domain import WorkloadSpec
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.jobs import JobSender
from services.kernel.security.keys import KeyVerifier
from services.kernel.security.limits import Limiter
from services.kernel.security.oidc import OidcVerifier
from services.kernel.security.oidc_login import OidcLogin
from services.kernel.settings import Settings

MEASURED_WINDOW_S = 86400.0


@dataclass(frozen=True, slots=True)
class AdminDeps:
    """What the service works with.

    Attributes:
        engine: Database.
        redis: Sessions and the readiness check.
        settings: Settings.
        clock: Time of the data: simulated in a replay.
        wall: Time of keys and audit, always the wall clock outside tests.
        verifier: API keys.
        sessions: Console sessions.
        sender: Where jobs go.
        oidc: Tokens of the identity provider; None: there is none.
        limiter: Counts requests; None: nobody does.
        oidc_login: Logs people in at the identity provider; None: nobody does.
    """

    engine: Engine
    redis: redis.Redis
    settings: Settings
    clock: Clock
    wall: Clock
    verifier: KeyVerifier
    sessions: SessionStore
    sender: JobSender
    oidc: OidcVerifier | None = None
    limiter: Limiter | None = None
    oidc_login: OidcLogin | None = None

    def reading(self) -> Connection:
        """A connection for reads: each statement by itself, none to begin or to roll back."""
        return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that a request names."""

    id: int
    namespace: str
    name: str
    step_s: int
    spec: WorkloadSpec


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filters of the lists of decisions, actions and outcomes.

    Attributes:
        namespaces: Those that may be seen; None: all.
        of: Which workloads, by `namespace` and `label`.
    """

    workload: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    cursor: str | None = None
    limit: int = 50
    namespaces: frozenset[str] | None = None
    of: Mapping[str, Any] = field(default_factory=dict)


def encode_cursor(*values: object) -> str:
    """An opaque cursor that holds `values`."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: Sequence[type]) -> tuple[Any, ...]:
    """The values of a cursor, as `kinds`.

    Raises:
        InvalidInput: It is not one of ours.
    """
    try:
        raw = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(raw, list) or len(raw) != len(kinds):
            raise ValueError("wrong length")
        return tuple(_parse(value, kind) for value, kind in zip(raw, kinds, strict=True))
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidInput(
            f"cursor={cursor[:80]!r} must be the next_cursor of an earlier page"
        ) from error


def _parse(value: object, kind: type) -> object:
    if kind is datetime:
        at = datetime.fromisoformat(str(value))
        if at.tzinfo is None:
            raise ValueError("naive time")
        return at
    if type(value) is not kind:  # a bool is an int, and none of ours
        raise TypeError(f"{value!r} is no {kind.__name__}")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("no id of ours")
    if isinstance(value, str) and "\x00" in value:
        raise ValueError("no name of ours")
    return value


def find_workload(connection: Connection, namespace: str, name: str) -> Workload:
    """The workload named.

    Raises:
        NotFound: There is none.
    """
    row = repository.load_workload_id(connection, namespace, name)
    if row is None:
        raise NotFound(f"workload {namespace}/{name} does not exist")
    spec = translate.spec_of(row["spec_text"])
    return Workload(row["id"], namespace, name, row["step_s"], spec)


def list_workloads(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None = None
) -> schemas.Page[schemas.WorkloadView]:
    """Active workloads in order of namespace and name, each with its live state."""
    now = deps.clock.now()
    if cursor is not None:
        filters = filters | {"after": decode_cursor(cursor, (str, str))}
    since = now - timedelta(seconds=MEASURED_WINDOW_S)
    with deps.reading() as connection:
        rows = repository.load_fleet(connection, filters, limit + 1, now)
        shown = rows[:limit]
        measured = repository.load_measured(connection, [row["id"] for row in shown], since)
    items = [
        translate.to_workload(row, measured.get(row["id"]), MEASURED_WINDOW_S, now) for row in shown
    ]
    more = len(rows) > limit
    last = shown[-1] if shown else None
    following = encode_cursor(last["namespace"], last["name"]) if more and last else None
    return schemas.Page[schemas.WorkloadView](items=items, next_cursor=following)


def get_workload(deps: AdminDeps, namespace: str, name: str) -> schemas.WorkloadView:
    """One workload, active or not.

    Raises:
        NotFound: There is none.
    """
    page = list_workloads(deps, {"namespace": namespace, "name": name}, 1)
    if not page.items:
        raise NotFound(f"workload {namespace}/{name} does not exist")
    return page.items[0]


def list_decisions(
    deps: AdminDeps, query: ListQuery, filters: dict[str, Any]
) -> schemas.Page[schemas.DecisionSummary]:
    """Decisions, newest first."""
    with deps.reading() as connection:
        found = _filters(connection, query) | filters
        rows = repository.load_decisions(connection, found, query.limit + 1)
    cursor = _next(rows, query.limit, ("origin_at", "id"))
    items = [translate.to_decision(row) for row in rows[: query.limit]]
    return schemas.Page[schemas.DecisionSummary](items=items, next_cursor=cursor)


def get_decision(
    deps: AdminDeps, decision_id: int, namespaces: frozenset[str] | None = None
) -> schemas.DecisionDetail:
    """One decision: why it was made, and what came of it.

    Args:
        deps: Dependencies.
        decision_id: The decision.
        namespaces: Where it may be, to be seen; None: anywhere.

    Raises:
        NotFound: There is none, or none there.
    """
    with deps.reading() as connection:
        row = repository.load_decision(connection, decision_id)
        if row is None or (namespaces is not None and row["namespace"] not in namespaces):
            raise NotFound(f"decision {decision_id} does not exist")
        near = {
            "decision_id": decision_id,
            "workload_id": row["workload_id"],
            "from_at": row["origin_at"],
        }
        actions = repository.load_actions(connection, near | {"to_at": row["origin_at"]}, 20)
        outcomes = repository.load_outcomes(connection, near, 20)
    return translate.to_decision_detail(row, actions, outcomes)


def list_actions(
    deps: AdminDeps, query: ListQuery, filters: dict[str, Any]
) -> schemas.Page[schemas.ActionView]:
    """Actions, newest first."""
    with deps.reading() as connection:
        found = _filters(connection, query) | filters
        rows = repository.load_actions(connection, found, query.limit + 1)
    cursor = _next(rows, query.limit, ("origin_at", "id"))
    items = [translate.to_action(row) for row in rows[: query.limit]]
    return schemas.Page[schemas.ActionView](items=items, next_cursor=cursor)


def list_outcomes(deps: AdminDeps, query: ListQuery) -> schemas.Page[schemas.OutcomeView]:
    """Outcomes, newest first."""
    with deps.reading() as connection:
        rows = repository.load_outcomes(connection, _filters(connection, query), query.limit + 1)
    cursor = _next(rows, query.limit, ("step_at", "workload_id"))
    items = [translate.to_outcome(row) for row in rows[: query.limit]]
    return schemas.Page[schemas.OutcomeView](items=items, next_cursor=cursor)


def _filters(connection: Connection, query: ListQuery) -> dict[str, Any]:
    filters: dict[str, Any] = {"from_at": query.from_at, "to_at": query.to_at, **query.of}
    filters["namespaces"] = query.namespaces
    if query.workload is not None:
        namespace, slash, name = query.workload.partition("/")
        if not slash:
            raise InvalidInput(f"workload={query.workload!r} must read namespace/name")
        check_visible(query.namespaces, namespace)
        filters["workload_id"] = find_workload(connection, namespace, name).id
    if query.cursor is not None:
        filters["after"] = decode_cursor(query.cursor, (datetime, int))
    return filters


def _next(rows: Sequence[RowMapping], limit: int, names: tuple[str, str]) -> str | None:
    if len(rows) <= limit:
        return None
    return encode_cursor(*(rows[limit - 1][name] for name in names))
