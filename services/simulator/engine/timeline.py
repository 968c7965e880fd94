"""Exact piecewise-constant history of one deployment's ready and bound pods."""

from __future__ import annotations

from bisect import bisect_right

from services.simulator.engine.specs import Interval


class Timeline:
    """Change points of (ready, bound), kept for at least `history_s` seconds."""

    def __init__(self, start_s: float, history_s: float) -> None:
        self._history_s = history_s
        self._times: list[float] = [start_s]
        self._values: list[tuple[int, int]] = [(0, 0)]
        self.first_s = start_s
        self._is_trimmed = False

    def record(self, at_s: float, ready: int, bound: int) -> None:
        """Note the counts that hold from `at_s` on; times never go back."""
        value = (ready, bound)
        if self._times[-1] == at_s:
            self._values[-1] = value
        elif self._values[-1] != value:
            self._times.append(at_s)
            self._values.append(value)
        # Trimming a list is linear: wait until half of it is out of date.
        if len(self._times) > 64 and self._times[len(self._times) // 2] < at_s - self._history_s:
            self._trim(at_s - self._history_s)

    def _trim(self, before_s: float) -> None:
        n_old = bisect_right(self._times, before_s) - 1
        if n_old > 0:
            del self._times[:n_old]
            del self._values[:n_old]
            self.first_s = self._times[0]
            self._is_trimmed = True

    def intervals(self, from_s: float, to_s: float) -> list[Interval]:
        """The history of [from_s, to_s), in order, without gaps or empty pieces.

        It begins at the deployment's creation when that is later than `from_s`.

        Raises:
            ValueError: If `from_s` is older than what is kept.
        """
        if self._is_trimmed and from_s < self.first_s:
            raise ValueError(
                f"from_s={from_s} is older than the kept history, which begins at {self.first_s}"
            )
        start_s = max(from_s, self.first_s)
        found: list[Interval] = []
        i = max(bisect_right(self._times, start_s) - 1, 0)
        while i < len(self._times) and start_s < to_s:
            end_s = min(self._times[i + 1] if i + 1 < len(self._times) else to_s, to_s)
            if end_s > start_s:
                ready, bound = self._values[i]
                found.append(Interval(start_s, end_s, ready, bound))
                start_s = end_s
            i += 1
        return found
