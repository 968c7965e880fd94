"""How much a namespace's operators may ask for over REST: workloads, and queries of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.admin.registration import repository
from services.admin.rest.change import Change
from services.kernel.errors import Conflict, Forbidden
from services.kernel.security.keys import FLEET, Role
from services.kernel.settings import Settings


def check_room(one: Change, namespace: str, settings: Settings) -> None:
    """Check that one more workload may be made in a namespace; no other is, until this one is.

    Raises:
        Conflict: As many as may be are there.
    """
    most = settings.rest_workloads_per_namespace
    if not most:
        return
    n_there = repository.count_active(one.connection, namespace)
    if n_there >= most:
        raise Conflict(
            f"namespace {namespace!r} has {n_there} workloads that were made over REST, and may "
            f"have {most} (HARMONY_REST_WORKLOADS_PER_NAMESPACE); remove one with DELETE, or have "
            "that raised"
        )


def check_queries(
    one: Change, spec: Mapping[str, Any], before: Mapping[str, Any] | None, settings: Settings
) -> None:
    """Check that the caller may have these queries asked.

    A query reads all that Harmony's source answers, of whichever tenant.

    Args:
        one: The write.
        spec: As it is to be stored.
        before: As it stands; None: nothing does.
        settings: `rest_queries` says who may.

    Raises:
        Forbidden: One is new, and only operators of the whole fleet may write any.
    """
    if settings.rest_queries == "any" or one.caller.principal.may(Role.OPERATOR, FLEET):
        return
    known = {} if before is None else dict(_queries(before))
    for field, query in _queries(spec):
        if query and known.get(field) != query:
            raise Forbidden(
                f"spec.{field}.query: only operators of the whole fleet may write a query here "
                "(HARMONY_REST_QUERIES=fleet); leave it empty and push the values, or ask one of "
                "them"
            )


def _queries(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Queries of a stored spec, each with the field of what it is for, by its name."""
    for indicator in spec.get("indicators") or ():
        yield f"indicators[{indicator['name']}]", indicator.get("query") or ""
    objective = (spec.get("sla") or {}).get("objective") or {}
    for series in objective.get("series") or ():
        yield f"sla.objective.series[{series['name']}]", series.get("query") or ""
