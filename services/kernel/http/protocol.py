"""The server's side of a connection: a head that comes in time, and problems as all other answers.

The server itself waits for a request's head as long as the client likes, and takes one of any size.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.kernel.http.application import problem
from services.kernel.listening import HEAD_S

_MOST_HEAD_BYTES = 65_536


class ProblemProtocol(HttpToolsProtocol):
    """The server's HTTP protocol; what it cannot parse or wait for is answered as problem+json."""

    head_s: ClassVar[float] = HEAD_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._is_in_head = False
        self._n_head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._unset_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take some bytes, of a head only so many."""
        super().data_received(data)
        if self._is_in_head:
            self._n_head_bytes += len(data)
            if self._n_head_bytes > _MOST_HEAD_BYTES:
                self._refuse(refusal(400, "bad_request", f"head is over {_MOST_HEAD_BYTES} bytes"))
        if self.cycle is not None and self.cycle.response_complete:
            self._set_deadline()  # the rest of a body that nobody reads has no longer than a head

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self._is_in_head, self._n_head_bytes = True, 0
        self._set_deadline()

    def on_headers_complete(self) -> None:
        """The head is here: from now on the application says how long it waits."""
        self._is_in_head = False
        self._unset_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is here too."""
        self._unset_deadline()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that cannot be parsed, and close the connection."""
        self._refuse(unreadable())

    def _set_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_s, self._give_up)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """Close the connection; who has begun a request is told why."""
        late = f"the head did not arrive within {self.head_s:g} s"
        self._refuse(refusal(408, "request_timeout", late) if self._is_in_head else b"")

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def unreadable() -> bytes:
    """The whole answer to a request that cannot be parsed."""
    return refusal(400, "bad_request", "this is no HTTP request that can be read")


def refusal(status: int, code: str, detail: str) -> bytes:
    """A problem as the last that is sent on a connection."""
    answer = problem(status, code, detail)
    answer.headers.update({"Connection": "close", "X-Content-Type-Options": "nosniff"})
    phrase = str(HTTPStatus(status).phrase)
    headers = [name + b": " + value for name, value in answer.raw_headers]
    lines = [f"HTTP/1.1 {status} {phrase}".encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body)
