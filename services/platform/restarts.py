"""How long a process that has ended waits before it is started again."""

from __future__ import annotations

from collections import deque

WINDOW_S = 120.0
N_SOON = 5
"""Ends within the window from which on a process is said to end again and again."""
_FIRST_S = 0.5
_LONGEST_S = 5.0


class EndHistory:
    """Ends of one process within the last moments: the more of them, the longer the wait."""

    def __init__(self) -> None:
        """No end yet."""
        self._ends: deque[float] = deque()

    def note(self, now_s: float) -> float:
        """Note an end.

        Returns:
            Seconds to wait: doubled with every end within the window, up to a limit. What ends at
            once is so tried slowly, and never given up.
        """
        self._ends.append(now_s)
        while self._ends[0] <= now_s - WINDOW_S:
            self._ends.popleft()
        return min(_LONGEST_S, _FIRST_S * 2.0 ** (self.n_recent - 1))

    @property
    def n_recent(self) -> int:
        """Ends within the window before the last one, that one too."""
        return len(self._ends)
