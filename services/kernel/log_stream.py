"""Where log lines go: a line that cannot be written is lost, and nothing else is."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TextIO


class LogStream(io.TextIOBase):
    """Passes lines on; a full disk or a reader that is gone fails no request and no job."""

    def __init__(self, stream: TextIO, on_loss: Callable[[], None]) -> None:
        """Write to `stream`, and call `on_loss` for each line that it does not take."""
        self._stream = stream
        self._on_loss = on_loss

    def write(self, text: str, /) -> int:
        """Write, or lose it."""
        try:
            return self._stream.write(text)
        except OSError:
            self._on_loss()
            return len(text)

    def flush(self) -> None:
        """Flush, or lose what has gathered."""
        try:
            self._stream.flush()
        except OSError:
            self._on_loss()

    def isatty(self) -> bool:
        """Whether somebody reads along."""
        return self._stream.isatty()
