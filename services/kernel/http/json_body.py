"""Routes that take no JSON body with a key that is given twice."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from services.kernel.errors import BadRequest
from services.kernel.http.json_keys import read_json


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
