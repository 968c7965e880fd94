"""Entries of the audit log on what the operator empties: what was set of an object that is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from services.kernel.clock import SystemClock
from services.kernel.db.clusters import load_clusters
from services.kernel.domain.controls import Controls
from services.kernel.security.audit import AuditEntry, append_audit

ACTOR = "operator"
"""As `workload_controls.updated_by` has it too; nobody with a key or a token is named so."""
ACTION = "controls.clear"
_REASON = "another GPUAutoscaler of this name is there"
_MOST_SHOWN = 2000
"""Characters of what cannot be read."""


@dataclass(frozen=True, slots=True)
class ClearedControls:
    """What was set of a workload until it was taken back.

    Attributes:
        body: JSON, as it was stored.
        former_uid: Uid of the object that it was set of; None: not known, or there was none.
        uid: Uid of the object that is there now.
    """

    namespace: str
    name: str
    body: str
    former_uid: str | None
    uid: str


def audit_cleared(connection: Connection, cleared: Sequence[ClearedControls], cluster: str) -> None:
    """Append what was taken back, in the caller's transaction.

    Nobody else can append until that ends, and others hold rows while they wait for it: it is to be
    the last that the transaction writes.

    Args:
        connection: An open transaction.
        cleared: What was stored of each.
        cluster: Name of the operator's cluster.
    """
    found = [(each, was_set) for each in cleared if (was_set := _set(each.body)) is not None]
    if not found:
        return
    first = load_clusters(connection)[0].name
    place = "" if cluster == first else f"@{cluster}"
    at = SystemClock().now()
    for each, was_set in found:
        name = f"workload/{each.namespace}/{each.name}{place}"
        after = {"object_uid": each.uid, "reason": _REASON}
        before = {"object_uid": each.former_uid, **was_set}
        append_audit(connection, AuditEntry(at, ACTOR, ACTION, name, before, after))


def _set(body: str) -> dict[str, Any] | None:
    """What was set; None: nothing. Of what cannot be read its text, for no pass may fail by it."""
    try:
        controls = Controls.model_validate_json(body)
    except ValidationError:
        return {"unreadable": body[:_MOST_SHOWN]}
    return None if controls == Controls() else controls.model_dump(mode="json")
