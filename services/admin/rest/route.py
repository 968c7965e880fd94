"""Answers of routes: the value and its JSON are made in one thread, off the event loop.

The framework would run the endpoint in a thread, check its answer again in a second one, and write
its JSON in the event loop, where a long list holds everybody up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, get_type_hints

from fastapi import APIRouter, Depends, Response
from pydantic import TypeAdapter

from services.kernel.http.json_body import OnceRoute
from services.kernel.http.query import known_query

JSON = "application/json"


class Router(APIRouter):
    """A router whose endpoints return values of the API's own types, and take each key once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"route_class": OnceRoute} | options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a route; the OpenAPI document is made from the endpoint as it was written."""
        options["dependencies"] = [*(options.get("dependencies") or ()), Depends(known_query)]
        super().add_api_route(path, answering(endpoint, options.get("status_code")), **options)


def answering(endpoint: Callable[..., Any], status: int | None) -> Callable[..., Any]:
    """`endpoint`, answering with its value's JSON and what it set of the response's headers.

    Args:
        endpoint: A function of a thread; one of the event loop, or one that returns a response or
            nothing, is left as it is.
        status: Of its answer; None: 200.
    """
    kind = get_type_hints(endpoint).get("return")
    is_response = isinstance(kind, type) and issubclass(kind, Response)
    if iscoroutinefunction(endpoint) or kind in (None, type(None)) or is_response:
        return endpoint
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    @wraps(endpoint)
    def answered(**values: Any) -> Response:
        content = adapter.dump_json(endpoint(**values))
        response = Response(content, status or 200, media_type=JSON)
        for value in values.values():
            if isinstance(value, Response):  # a parameter through which it sets headers
                response.raw_headers.extend(value.raw_headers)
        return response

    return answered
