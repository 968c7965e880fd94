"""JSON bodies whose objects name each key once.

Of two values of one key every reader of JSON silently takes the last (RFC 8259, 4): a script that
writes `{"replicas": 3, "replicas": 30}` would scale by a figure that nobody looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from services.kernel.errors import BadRequest

_KEY_END = re.compile(rb'"\s*:')


class OnceRoute(APIRoute):
    """A route that refuses a JSON body with a key that is given twice in one object."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, on a request that reads its JSON so."""
        handle = super().get_route_handler()

        async def handle_once(request: Request) -> Response:
            return await handle(_OnceRequest(request.scope, request.receive))

        return handle_once


class _OnceRequest(Request):
    async def json(self) -> Any:
        """The body's content.

        Raises:
            HTTPException: A key is given twice; any other error would lose its words on its way.
        """
        try:
            return read_json(await self.body())
        except BadRequest as error:
            raise HTTPException(error.http_status, error.message) from error


def read_json(body: bytes) -> Any:
    """What JSON holds, NaN and Infinity among it.

    Raises:
        BadRequest: A key is given twice in one object.
        ValueError: It is no JSON.
    """
    return json.loads(body, object_pairs_hook=_once)


def check_keys(body: bytes, content: object) -> None:
    """Check a body that was read by a faster reader, which told nothing of repeated keys.

    The keys of `content` and the places of `body` that look like a key's end are counted; only
    where there are more of the latter it is read again.

    Raises:
        BadRequest: A key is given twice in one object.
    """
    if len(_KEY_END.findall(body)) != _n_keys(content):
        with suppress(RecursionError):  # no body of ours nests so deep: its shape is refused
            read_json(body)


def _n_keys(content: object) -> int:
    """Keys of objects; of lists that begin with something else none are looked for."""
    n, left = 0, [content]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            n += len(one)
            left.extend(one.values())
        elif isinstance(one, list) and one and isinstance(one[0], dict):
            left.extend(one)
    return n


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise BadRequest(f"body: key {twice[:60]!r} is given {names.count(twice)} times; give it once")
