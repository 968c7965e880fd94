"""Parameters in a query string that a route does not know, or takes once only, are refused.

A slip in the name of a filter would else be answered with the whole list, and of two values of one
parameter only the last would count, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

CLUSTER = "cluster"
"""Every route takes it: it is read where the caller's rights are."""


async def known_query(request: Request) -> None:
    """Refuse parameters that the route of a request does not take, or not so often.

    Raises:
        RequestValidationError: There is one; names it and those that there are.
    """
    given = request.query_params
    if not given or not request.url.path.startswith("/v1/"):
        return
    known = _parameters(request.scope.get("route"))
    found = [_unknown(name, given[name], known) for name in given if name not in known]
    found += [
        _repeated(name, given.getlist(name))
        for name in given
        if len(given.getlist(name)) > 1 and not known.get(name, True)
    ]
    if found:
        raise RequestValidationError(found)


def _parameters(route: Any) -> dict[str, bool]:
    """Names of the parameters that a route takes, its own first, and which may come repeatedly."""
    dependant = getattr(route, "dependant", None)
    own = dict(_named(dependant)) if isinstance(dependant, Dependant) else {}
    return {**own, CLUSTER: own.get(CLUSTER, False)}


def _named(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for field in dependant.query_params:
        yield field.alias, _is_list(field.field_info.annotation)
    for inner in dependant.dependencies:
        yield from _named(inner)


def _is_list(annotation: Any) -> bool:
    """Whether a parameter's type holds several values, as `list[str] | None` does."""
    origin = get_origin(annotation) or annotation
    return origin in (list, tuple, set) or any(_is_list(each) for each in get_args(annotation))


def _unknown(name: str, value: str, known: Mapping[str, bool]) -> dict[str, Any]:
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    meant = f"; did you mean {close[0]}?" if close else "."
    return {
        "loc": ("query", name[:60]),
        "input": value,
        "type": "unknown_parameter",
        "msg": f"no parameter of this route{meant} It takes {', '.join(known)}",
    }


def _repeated(name: str, values: list[str]) -> dict[str, Any]:
    return {
        "loc": ("query", name),
        "input": values[-1],
        "type": "repeated_parameter",
        "msg": f"is given {len(values)} times; give it once",
    }
