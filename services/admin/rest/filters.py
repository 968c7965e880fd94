"""Filters that lists share: what the caller may see, namespace, labels, time."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query

from services.admin.identity.auth import AsReader
from services.admin.identity.authority import check_visible
from services.admin.rest.times import Instant
from services.kernel.errors import InvalidInput

MAX_LABELS = 8

Label = Annotated[
    list[str] | None,
    Query(
        max_length=MAX_LABELS,
        description="`key=value` of the GPUAutoscaler's labels; several must all hold",
        examples=[["team=chat"]],
    ),
]


def parse_labels(given: list[str] | None) -> dict[str, str]:
    """Labels by key.

    Raises:
        InvalidInput: One does not read `key=value`, or a key is given twice.
    """
    found: dict[str, str] = {}
    for text in given or ():
        key, sign, value = text.partition("=")
        if not sign or not key or "=" in value or len(text) > 400:
            raise InvalidInput(f"label={text[:80]!r} must read key=value, e.g. team=chat")
        if key in found:
            raise InvalidInput(f"label={text[:80]!r}: the key {key!r} is given twice")
        found[key] = value
    return found


async def workload_filters(
    principal: AsReader,
    namespace: Annotated[str | None, Query(max_length=63, examples=["prod"])] = None,
    label: Label = None,
) -> dict[str, Any]:
    """Filter of the workloads that a list is about, among those that may be seen.

    Raises:
        Forbidden: The namespace may not be seen.
        InvalidInput: A label cannot be read.
    """
    visible = principal.namespaces()
    if namespace is not None:
        check_visible(visible, namespace)
    return {"namespaces": visible, "namespace": namespace, "label": parse_labels(label)}


async def times(
    from_at: Annotated[Instant | None, Query(description="Start, inclusive")] = None,
    to_at: Annotated[Instant | None, Query(description="End, inclusive")] = None,
) -> dict[str, Any]:
    """The time window of a list; without it the whole history.

    Raises:
        InvalidInput: It is empty.
    """
    if from_at is not None and to_at is not None and from_at > to_at:
        raise InvalidInput(f"from_at={from_at.isoformat()} must not be after {to_at.isoformat()}")
    return {"from_at": from_at, "to_at": to_at}


WorkloadFilters = Annotated[dict[str, Any], Depends(workload_filters)]
Times = Annotated[dict[str, Any], Depends(times)]
