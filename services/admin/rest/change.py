"""Writes: one transaction with its audit entry, its stored answer and its jobs, or nothing.

An `Idempotency-Key` belongs to whoever sends it. Its answer is stored in the transaction of the
write itself, so a client that lost the answer may send the request again: either the write has
happened and the stored answer comes back, or it has not and happens now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kombu.exceptions import OperationalError as BrokerError
from pydantic import BaseModel
from sqlalchemy import Connection

from services.admin.deps import AdminDeps
from services.admin.identity.authority import check_object
from services.admin.rest import repository
from services.kernel.db.session import UnitOfWork
from services.kernel.errors import Conflict, PreconditionFailed, PreconditionRequired
from services.kernel.jobs import Job
from services.kernel.security import keys as security
from services.kernel.security.keys import AuditEntry, Principal, Role
from services.kernel.telemetry import get_logger

OPERATOR_CHANNEL = "harmony_tick"
"""Wakes the operator for a pass (`services/operator/reconcile/repository.py`)."""
DECISIONS_CHANNEL = "harmony_decisions"
"""Wakes the operator to follow decisions, without a pass where it can."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The author of a write, and how a repetition of it is known.

    Attributes:
        idempotency_key: As the request names it; None: a repetition is a second write.
        request_hash: Of method, path, query and body.
    """

    principal: Principal
    idempotency_key: str | None = None
    request_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a write.

    Attributes:
        body: None: no content.
        headers: `ETag`, `Location` and the like.
    """

    status: int
    body: BaseModel | dict[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One write under way.

    Attributes:
        cluster: Name of its cluster, where that is not the first; empty: it is, or of none.
    """

    work: UnitOfWork
    caller: Caller
    at: datetime
    cluster: str = ""

    @property
    def connection(self) -> Connection:
        """The write's transaction."""
        return self.work.connection

    @property
    def actor(self) -> str:
        """Name of the caller in rows and in the audit log."""
        return self.caller.principal.actor

    def audit(
        self,
        action: str,
        name: str,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        """Append to the audit log what was done to which object, `@` which cluster."""
        place = f"@{self.cluster}" if self.cluster else ""
        entry = AuditEntry(self.at, self.actor, action, name + place, before, after)
        security.append_audit(self.connection, entry)

    def require(self, role: Role, namespace: str, missing: str) -> None:
        """Refuse a caller without `role` in the `namespace` of an object that it named by an id.

        Raises:
            NotFound: It may not even look there; `missing` says what does not exist.
            Forbidden: It may look, but not do this.
        """
        check_object(self.caller.principal, role, namespace, missing)

    def send(self, job: Job) -> None:
        """Send a job once the write has committed."""
        self.work.send_after_commit(job)

    def wake_operator(self, channel: str = OPERATOR_CHANNEL) -> None:
        """Ask the operator for a pass once the write has committed."""
        repository.notify(self.connection, channel)


def perform(deps: AdminDeps, caller: Caller, change: Callable[[Change], Answer]) -> Answer:
    """Carry out a write, or give the stored answer of the one that it repeats.

    Raises:
        Conflict: The idempotency key belongs to another request.
    """
    now = deps.wall.now()
    with deps.writing() as work:
        stored = _stored(work, caller, now)
        if stored is not None:
            return stored
        first = deps.cluster_names[:1]
        cluster = deps.cell.name if deps.cell.name not in (None, *first) else None
        answer = change(Change(work, caller, now, cluster or ""))
        _store(work, caller, answer, now)
    _send(deps, work.jobs)
    return answer


def _stored(work: UnitOfWork, caller: Caller, now: datetime) -> Answer | None:
    key = caller.idempotency_key
    if key is None:
        return None
    row = repository.claim_key(work.connection, caller.principal.actor, key, now)
    if row is None:
        return None
    if bytes(row["request_hash"]) != caller.request_hash:
        raise Conflict(
            f"Idempotency-Key={key[:80]!r} was used for another request; a new request needs a "
            "new key"
        )
    headers = dict(row["headers"]) | {"Idempotency-Replayed": "true"}
    return Answer(row["status"], row["body"], headers)


def _store(work: UnitOfWork, caller: Caller, answer: Answer, now: datetime) -> None:
    if caller.idempotency_key is None:
        return
    body = answer.body
    values = {
        "actor": caller.principal.actor,
        "key": caller.idempotency_key,
        "request_hash": caller.request_hash,
        "status": answer.status,
        "headers": dict(answer.headers),
        "body": body.model_dump(mode="json") if isinstance(body, BaseModel) else body,
        "created_at": now,
    }
    repository.store_answer(work.connection, values)


def _send(deps: AdminDeps, jobs: list[Job]) -> None:
    for job in jobs:
        try:
            deps.sender.send(job)
        except BrokerError as error:
            # The row is committed, so the answer stands: the sweep sends its job again.
            get_logger(__name__).warning("job_not_sent", job=job.name, error=str(error))


def check_etag(if_match: str | None, etag: str, name: str) -> None:
    """Refuse an update of something that is not what the caller has seen.

    Args:
        if_match: The header; `*` matches whatever is there.
        etag: Of what is there.
        name: What it is, for the message.

    Raises:
        PreconditionRequired: The header is missing.
        PreconditionFailed: It names another version.
    """
    if if_match is None:
        raise PreconditionRequired(
            f"If-Match is missing: send the ETag of {name} that you have read, now {etag}"
        )
    given = {part.strip().removeprefix("W/") for part in if_match.split(",")}
    if "*" not in given and etag not in given:
        raise PreconditionFailed(
            f"If-Match={if_match[:80]} is stale: {name} is at {etag}; read it again"
        )
