"""The audit log: who changed what, filtered and paged; and whether its chain is intact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.admin.access import service
from services.admin.access.schemas import AuditView
from services.admin.console.page import FleetAdmin, PageCursor, query_text, render
from services.admin.identity.auth import Deps
from services.kernel.errors import InvalidInput

router = APIRouter(include_in_schema=False)
_PAGE_SIZE = 50
_MAX_SHOWN = 200
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs; None: it was not there."""

    field: str
    before: str | None
    after: str | None


def differences(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> list[Difference]:
    """Differences between an entry's before and after, field by field."""
    old, new = _flat(before or {}), _flat(after or {})
    return [
        Difference(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            found[f"{prefix}{name}"] = str(value)[:_MAX_SHOWN]
    return found


def parse_time(text: str, name: str) -> datetime | None:
    """A time of a form, in UTC; None: it is empty.

    Raises:
        InvalidInput: It is none.
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{name}={text[:40]!r} must be a time in UTC, e.g. 2026-01-05T18:00"
        ) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


@router.get("/audit")
def audit(  # noqa: PLR0913 - one argument per filter
    request: Request,
    deps: Deps,
    principal: FleetAdmin,
    actor: Annotated[str, Query(max_length=300)] = "",
    action: Annotated[str, Query(max_length=100)] = "",
    subject: Annotated[str, Query(alias="object", max_length=400)] = "",
    from_at: Annotated[str, Query(max_length=40)] = "",
    to_at: Annotated[str, Query(max_length=40)] = "",
    check: bool = False,
    cursor: PageCursor = None,
) -> Response:
    """The audit log, newest first."""
    given = {"actor": actor, "action": action, "object": subject}
    times = {"from_at": parse_time(from_at, "from_at"), "to_at": parse_time(to_at, "to_at")}
    filters = {name: value or None for name, value in given.items()} | times
    page = service.list_audit(deps, _PAGE_SIZE, cursor, filters)
    shown: list[tuple[AuditView, list[Difference]]] = [
        (entry, differences(entry.before, entry.after)) for entry in page.items
    ]
    kept = given | {"from_at": from_at, "to_at": to_at}
    return render(
        request,
        "audit.html",
        principal,
        entries=shown,
        filters=kept,
        checked=service.check_audit(deps) if check else None,
        check_address="/audit" + query_text(**kept, check=True),
        next_address=(
            "/audit" + query_text(**kept, cursor=page.next_cursor) if page.next_cursor else None
        ),
    )
