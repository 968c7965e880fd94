"""Signals that end a command: taken in order, and kept back where they would do harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """SIGTERM, SIGINT and a closed terminal end the block in order, so that every child is ended.

    SIGINT is taken also where it was inherited as ignored, as for a script's background job:
    whoever sends it to this process means it.
    """

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    previous = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, end),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored: `nohup` means it to go on
        previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, end)
    try:
        yield
    finally:
        for word, handler in previous.items():
            signal.signal(word, handler)


@contextmanager
def stop_signals_deferred() -> Iterator[None]:
    """Stop signals wait until the block has ended, then take their course.

    An exception raised by a handler between a child's start and its being noted would leave the
    child to itself; raised inside one of the interpreter's fork hooks it would even be swallowed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    arrived: list[int] = []
    previous = {
        word: signal.signal(word, lambda number, _frame: arrived.append(number))
        for word in _STOP_SIGNALS
    }
    try:
        yield
    finally:
        for word, handler in previous.items():
            signal.signal(word, handler)
    if arrived:
        signal.raise_signal(arrived[0])


@contextmanager
def stop_signals_noted() -> Iterator[threading.Event]:
    """Within the block a stop signal sets the event that is given, and does nothing else."""
    stopped = threading.Event()
    previous = {
        word: signal.signal(word, lambda *_: stopped.set())
        for word in _STOP_SIGNALS
        if word == signal.SIGINT or signal.getsignal(word) != signal.SIG_IGN
    }
    try:
        yield stopped
    finally:
        for word, handler in previous.items():
            signal.signal(word, handler)
