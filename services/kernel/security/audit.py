"""The append-only audit chain: each entry's hash covers the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from services.kernel import telemetry
from services.kernel.db import credentials
from services.kernel.errors import InvalidInput
from services.kernel.jobs import OPERATION_JOBS

ACTIONS = frozenset(
    (
        *("cluster.add", "cluster.rename", "cluster.total", "controls.clear"),
        *("decision.approve", "decision.reject", "freeze.create", "freeze.lift"),
        *("key.create", "key.revoke", "key.rotate", "pause.lift", "pause.set", "policy.update"),
        *("model.promote", "model.roll_back", "model.shadow", "model.train"),
        *("schedules.replace", "schedules.reset", "session.open"),
        *("workload.create", "workload.delete", "workload.update"),
        *(f"{kind}.{verb}" for kind in OPERATION_JOBS for verb in ("submit", "cancel")),
    )
)
"""What the audit log calls that which is done; an older release may have had others."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One write: who did what to which object, with the object before and after."""

    at: datetime
    actor: str
    action: str
    object: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Anchor:
    """An entry of the chain, kept outside the database: its id and its hash.

    Written `<id>:<hash>`, e.g. `42:9f86d0…`.
    """

    id: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """The anchor that `text` holds.

        Raises:
            InvalidInput: It is none.
        """
        number, _, digest = text.strip().partition(":")
        is_hash = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        if not (number.isascii() and number.isdigit() and len(number) < 19 and is_hash):
            raise InvalidInput(
                f"anchor={text[:100]!r} must read <id>:<hash of 64 hexadecimal digits>, as an "
                "earlier check printed it"
            )
        return cls(int(number), digest)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of checking the chain.

    Attributes:
        n_entries: Entries read.
        first_broken_id: The first whose hash does not follow; None: all follow.
        head: The newest entry read; None: there is none.
        is_anchored: Whether the anchor that was given is in the chain; None: none was given.
    """

    n_entries: int
    first_broken_id: int | None
    head: Anchor | None = None
    is_anchored: bool | None = None

    @property
    def is_intact(self) -> bool:
        """Check whether every entry follows from the one before, and the anchor is still there."""
        return self.first_broken_id is None and self.is_anchored is not False


def append_audit(connection: Connection, entry: AuditEntry) -> int:
    """Append to the audit chain, in the caller's transaction.

    Each hash covers the previous one, so changing, inserting or removing an entry breaks every
    later one. Cutting entries off the end is not visible from the chain alone, so the entry that
    was the newest until now, which is committed for certain, is written to the log: whoever keeps
    the logs elsewhere can hold the chain against them.

    Returns:
        Id of the entry.
    """
    tail = credentials.lock_audit_tail(connection)
    previous: bytes | None = None
    if tail is not None:
        previous = tail["hash"]
        logger = telemetry.get_logger("audit")
        logger.info("audit_anchor", anchor=str(Anchor(tail["id"], tail["hash"].hex())))
        telemetry.audit_head_id.set(tail["id"])
    values: dict[str, Any] = {
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "object": entry.object,
        "before": entry.before,
        "after": entry.after,
    }
    digest = chain_hash(previous, values)
    return credentials.insert_audit(
        connection, values | {"previous_hash": previous, "hash": digest}
    )


def note_audit_head(connection: Connection) -> None:
    """Set `harmony_audit_head_id`; one that falls is an end that was cut off."""
    telemetry.audit_head_id.set(credentials.load_audit_head(connection))


def verify_audit(connection: Connection, anchor: Anchor | None = None) -> AuditReport:
    """Recompute the chain from its first entry.

    Args:
        connection: An open transaction.
        anchor: The head at an earlier check; an end that was cut off since then lacks it.
    """
    previous: bytes | None = None
    head: Anchor | None = None
    n_entries = 0
    is_anchored = None if anchor is None else False
    with closing(credentials.iterate_audit(connection)) as entries:
        for row in entries:
            n_entries += 1
            if row["previous_hash"] != previous or row["hash"] != chain_hash(previous, row):
                return AuditReport(n_entries, int(row["id"]), head, is_anchored)
            previous = row["hash"]
            head = Anchor(int(row["id"]), row["hash"].hex())
            if head == anchor:
                is_anchored = True
    return AuditReport(n_entries, None, head, is_anchored)


def chain_hash(previous: bytes | None, values: RowMapping | dict[str, Any]) -> bytes:
    """SHA-256 over the previous hash and the entry as canonical JSON."""
    body = {name: values[name] for name in ("actor", "action", "object", "before", "after")}
    body["at"] = values["at"].astimezone(UTC).isoformat()
    canonical = json.dumps(
        _canonical(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256((previous or b"") + canonical.encode()).digest()


def _canonical(value: Any) -> Any:
    """`value` as Postgres gives it back: in JSONB, 1.0 and 1 are one number.

    It stores the digits that a number is written with: of 1e23 a one and zeros, which is not the
    whole number that the float itself stands for.
    """
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(Decimal(repr(value)))
    return value
