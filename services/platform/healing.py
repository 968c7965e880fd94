"""Starts again what has ended, and says so: one line for each end, one for each return."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from services.platform.child import Child
from services.platform.processes import Supervisor
from services.platform.restarts import N_SOON, WINDOW_S, EndHistory

_LOOK_S = 2.0
_STUCK_S = 10.0
"""A process that is stuck for so long is killed; one that ends in order may look like it."""
_SETTLED_S = 2.0
"""A process that does not say when it is ready is back once it has lived for so long."""


class Healer:
    """Watches a supervisor's processes; none of its steps waits for anything."""

    def __init__(
        self,
        supervisor: Supervisor,
        say: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch them.

        Args:
            supervisor: Whose processes are ready now.
            say: Called with each line.
            monotonic: Seconds of a clock that only goes forward.
        """
        self._supervisor = supervisor
        self._say = say
        self._monotonic = monotonic
        self._histories: defaultdict[str, EndHistory] = defaultdict(EndHistory)
        self._due: dict[str, float] = {}
        self._away_since: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._stuck_since: dict[str, float] = {}
        self._next_look = 0.0

    def step(self) -> None:
        """Look at every process once; servers come first, and the others wait for them."""
        is_look = self._monotonic() >= self._next_look
        if is_look:
            self._next_look = self._monotonic() + _LOOK_S
        for child in self._supervisor.children():
            now = self._monotonic()
            if is_look:
                child.bound_log()
            if child.spec.name in self._due:
                if now >= self._due[child.spec.name] and not self._waits_for_a_server(child):
                    self._start(child, now)
            elif not child.is_alive():
                child.kill()  # what it has started must not live beside what it starts next
                self._on_end(child, child.ending(), now)
            elif is_look and self._is_stuck(child, now):
                child.kill()
                self._on_end(child, f"was stuck for {_STUCK_S:g} s", now)
            elif child.spec.name in self._away_since:
                self._await(child, now)

    def is_whole(self) -> bool:
        """Check whether all that was seen to end has come back."""
        return not self._away_since

    def _waits_for_a_server(self, child: Child) -> bool:
        """What starts without its database only ends again."""
        return not child.spec.is_server and any(
            other.spec.is_server and other.spec.name in self._away_since
            for other in self._supervisor.children()
        )

    def _is_stuck(self, child: Child, now: float) -> bool:
        """Check whether it has been stuck at each look for a while."""
        if child.spec.is_stuck is None or not child.spec.is_stuck(child.pid):
            self._stuck_since.pop(child.spec.name, None)
            return False
        return now - self._stuck_since.setdefault(child.spec.name, now) >= _STUCK_S

    def _start(self, child: Child, now: float) -> None:
        try:
            self._supervisor.start_again(child)
        except OSError as error:  # no memory, no room for its log: that may pass
            if child.is_alive():
                child.kill()
            self._on_end(child, f"could not be started: {error}", now)
        else:
            del self._due[child.spec.name]
            self._stuck_since.pop(child.spec.name, None)
            self._started[child.spec.name] = now

    def _on_end(self, child: Child, how: str, now: float) -> None:
        name, history = child.spec.name, self._histories[child.spec.name]
        delay = history.note(now)
        self._away_since.setdefault(name, now)
        self._due[name] = now + delay
        then = f"it starts again in {delay:g} s"
        if history.n_recent >= N_SOON:
            then = (
                f"that was end {history.n_recent} within {WINDOW_S:g} s: it is tried every "
                f"{delay:g} s until it stays"
            )
        self._say(f"{name} {how}; {then} (log: {child.log})")

    def _await(self, child: Child, now: float) -> None:
        name, lived = child.spec.name, now - self._started[child.spec.name]
        says_ready = child.spec.probe is not None or child.spec.server is not None
        if child.is_ready() and (says_ready or lived >= _SETTLED_S):
            note = f"; {child.spec.restart_note}" if child.spec.restart_note else ""
            self._say(f"{name} is back after {now - self._away_since.pop(name):.1f} s{note}")
        elif lived > child.spec.start_timeout_s:
            child.kill()
            self._on_end(child, f"was not ready within {child.spec.start_timeout_s:g} s", now)
