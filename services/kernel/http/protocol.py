"""The server's side of a connection: a head that comes in time, answers that are taken in time.

Both without end in the server itself, which also takes a head of any size. What is refused here is
a problem as all other answers.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.kernel.http.application import problem
from services.kernel.listening import HEAD_S

_MOST_HEAD_BYTES = 65_536
_LEAST_BYTES = 16_384
"""Of an answer, to be taken in each `answer_s`: even a bad line carries more than 1 KB a second."""


class ProblemProtocol(HttpToolsProtocol):
    """The server's HTTP protocol; what it cannot parse or wait for is answered as problem+json.

    An answer that nobody takes keeps its place among those that are served at a time
    (`services.kernel.http.busy`), so its connection is cut.

    Attributes:
        head_s: Seconds that a head has to arrive.
        answer_s: Seconds for the next part of an answer to be taken; as long as a head has.
    """

    head_s: ClassVar[float] = HEAD_S
    answer_s: ClassVar[float] = HEAD_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._is_in_head = False
        self._n_head_bytes = 0
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._unset_deadline()
        self._unwatch()
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

    def pause_writing(self) -> None:
        """More is to be sent than the client takes: from now on it has to take some in time."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It has: its time begins anew, for what is left and what follows."""
        super().resume_writing()
        self._watch()

    def on_response_complete(self) -> None:
        """The answer is written: what is left of it has to be taken in time, too."""
        super().on_response_complete()
        self._watch()

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

    def _watch(self) -> None:
        """Give the client its time, from now on, where something is still to be sent."""
        self._unwatch()
        if self.transport.get_write_buffer_size() > 0:
            left = self._n_left()
            self._taking = self.loop.call_later(self.answer_s, self._look, left)

    def _unwatch(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _look(self, before: int) -> None:
        """Cut the connection of who took next to nothing of the `before` bytes."""
        is_taken = self.transport.get_write_buffer_size() == 0
        if is_taken or before - self._n_left() >= _LEAST_BYTES:
            self._watch()
        else:
            self.transport.abort()

    def _n_left(self) -> int:
        """Bytes that the client has not taken yet.

        Those that the system holds count: it takes more of them from here only once a large part is
        gone, so a slow client would seem to take nothing.
        """
        held = 0
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError, ValueError):  # the system does not tell, or it is closed
                answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
                held = int(struct.unpack("i", answer)[0])
        return self.transport.get_write_buffer_size() + held

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
