"""Parameters in a query string that a route does not know are refused.

A slip in the name of a filter would else be answered with the whole list.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

CLUSTER = "cluster"
"""Every route takes it: it is read where the caller's rights are."""


async def known_query(request: Request) -> None:
    """Refuse parameters that the route of a request does not take.

    Raises:
        RequestValidationError: There is one; names it and those that there are.
    """
    given = request.query_params
    if not given or not request.url.path.startswith("/v1/"):
        return
    known = _parameters(request.scope.get("route"))
    unknown = [name for name in given if name not in known]
    if unknown:
        raise RequestValidationError([_finding(name, given[name], known) for name in unknown])


def _parameters(route: Any) -> list[str]:
    """Names of the parameters that a route takes, its own first."""
    dependant = getattr(route, "dependant", None)
    own = _names(dependant) if isinstance(dependant, Dependant) else ()
    return [*dict.fromkeys([*own, CLUSTER])]


def _names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _names(inner)


def _finding(name: str, value: str, known: list[str]) -> dict[str, Any]:
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    meant = f"; did you mean {close[0]}?" if close else "."
    return {
        "loc": ("query", name[:60]),
        "input": value,
        "type": "unknown_parameter",
        "msg": f"no parameter of this route{meant} It takes {', '.join(known)}",
    }
