"""Serving an HTTP application until the process is told to stop."""

from __future__ import annotations

import gc
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

_STOPPING = (signal.SIGTERM, signal.SIGINT)


def serve_until_stopped(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve on `listener`; SIGTERM and SIGINT end what is under way, then this returns.

    Raises:
        SystemExit: The application did not start.
    """
    with _a_stop_is_no_failure():
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _a_stop_is_no_failure() -> Iterator[None]:
    """Swallow the signal that uvicorn raises again once it has stopped.

    The process would end by it, with status 143, and an ordinary stop would look like a failure to
    whoever reads exit codes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no signals come here, and uvicorn handles none
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, leave) for number in _STOPPING}
    try:
        yield
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def settle() -> None:
    """Make the interpreter fit to answer many short requests from many threads.

    A full garbage collection walks every object of every imported module and stops all threads for
    a tenth of a second: what is there now stays, and is not looked at again. A thread that computes
    hands over to one that only has to pass an answer on after 1 ms, not after 5.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    sys.setswitchinterval(0.001)
