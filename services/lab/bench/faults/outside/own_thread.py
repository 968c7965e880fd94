"""A thread that runs while a context is open: what all who look from outside share."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self


class OwnThread:
    """Runs `_run` in a thread of its own from entering to leaving; `_run` ends at `_stop`."""

    def __init__(self, name: str, patience_s: float) -> None:
        """Prepare it.

        Args:
            name: The thread's name.
            patience_s: Seconds that it is given to end.
        """
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._patience_s = patience_s

    def __enter__(self) -> Self:
        """Begin."""
        self._begin()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the thread, then close what it used."""
        self._stop.set()
        self._thread.join(self._patience_s)
        self._close()

    def _begin(self) -> None:
        """What comes before the thread's start."""

    def _run(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        """What comes after its end."""
