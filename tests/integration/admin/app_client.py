"""A plain HTTP client of the admin application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.from_thread
import httpx
from fastapi import FastAPI

BASE_URL = "http://console.test"


class AppClient:
    """A plain HTTP client of the application, without a socket."""

    def __init__(self, app: FastAPI, headers: dict[str, str] | None = None) -> None:
        self.headers = dict(headers or {})
        self.cookies = httpx.Cookies()
        self._app = app

    def __enter__(self) -> AppClient:
        self._portal_context = anyio.from_thread.start_blocking_portal()
        self._portal = self._portal_context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._portal_context.__exit__(None, None, None)

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Send one request; redirects are not followed."""
        kwargs["headers"] = self.headers | kwargs.get("headers", {})

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(
                transport=transport, base_url=BASE_URL, cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, **kwargs)
                self.cookies = client.cookies
                return answer

        return self._portal.call(send)

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("POST", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("DELETE", path, **kwargs)


Make = Callable[..., AppClient]


def bearer(token: str) -> dict[str, str]:
    """The header that carries a credential."""
    return {"Authorization": f"Bearer {token}"}
