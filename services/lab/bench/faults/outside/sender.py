"""The outside sender: pushes demand every second, and sends again until it is accepted."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from services.kernel.clock import SystemClock
from services.lab.bench.faults.fleet import DEMAND, FaultFleet, FleetMember
from services.lab.bench.faults.outside.own_thread import OwnThread

INTERVAL_S = 1.0
_TIMEOUT_S = 5.0
_RETRY_S = 0.5
_MOST_AT_ONCE = 60
POISON: tuple[float | str, ...] = (9e18, "NaN", -5.0, 1e300)
"""What a broken exporter sends; each in turn."""


@dataclass(slots=True)
class SendingLog:
    """What became of the requests.

    Attributes:
        accepted: Seconds since the epoch of the samples that were accepted, by workload.
        answers: Answers by status.
        wrong: Answers that no sender should get while a database is away: status and body.
        n_poisoned: Poisoned samples that were sent and answered.
    """

    accepted: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    n_poisoned: int = 0


class OutsideSender(OwnThread):
    """Pushes every workload's demand from a thread of its own; `is_poisoned` may be set."""

    def __init__(self, push_url: str, token: str, fleet: FaultFleet) -> None:
        """Send to the push API at `push_url`."""
        super().__init__("sender", 2 * _TIMEOUT_S)
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=push_url, headers=headers, timeout=_TIMEOUT_S, trust_env=False
        )
        self._fleet = fleet
        self._clock = SystemClock()
        self._waiting: deque[int] = deque()
        self.log = SendingLog()
        self.is_poisoned = False

    def _close(self) -> None:
        self._http.close()

    def _run(self) -> None:
        newest = 0
        while not self._stop.is_set():
            now = int(self._clock.now().timestamp())
            if now > newest:
                self._waiting.append(now)
                newest = now
            pause_s = self._send() if self._waiting else INTERVAL_S
            self._stop.wait(pause_s)

    def _send(self) -> float:
        """Send what waits, oldest first; returns seconds to wait before the next attempt."""
        seconds = list(self._waiting)[:_MOST_AT_ONCE]
        is_poisoned = self.is_poisoned
        series = [_series(one, seconds) for one in self._fleet.members]
        if is_poisoned:
            series[-1] = _poisoned(self._fleet.victim, seconds)
        try:
            answer = self._http.post("/v1/observations", json={"observations": series})
        except httpx.TransportError:
            return _RETRY_S
        self.log.answers[answer.status_code] += 1
        if answer.status_code != 202:
            self._note_refusal(answer)
            return _RETRY_S
        for one in self._fleet.healthy:
            self.log.accepted[one.key].update(seconds)
        self.log.n_poisoned += len(seconds) if is_poisoned else 0
        rejected = [one for one in answer.json()["rejected"] if not is_poisoned]
        if rejected:
            self.log.wrong.append(f"202 with {rejected[0]}")
        for _ in seconds:
            self._waiting.popleft()
        return 0.0 if self._waiting else INTERVAL_S / 4

    def _note_refusal(self, answer: httpx.Response) -> None:
        if answer.status_code != 503 or "Retry-After" not in answer.headers:
            self.log.wrong.append(f"{answer.status_code} {answer.text[:200]}")


def _series(one: FleetMember, seconds: Sequence[int]) -> dict[str, Any]:
    samples = [[at, round(one.demand_at(float(at)), 3)] for at in seconds]
    return {
        "namespace": one.namespace,
        "workload": one.name,
        "indicator": DEMAND,
        "samples": samples,
    }


def _poisoned(one: FleetMember, seconds: Sequence[int]) -> dict[str, Any]:
    samples = [[at, POISON[at % len(POISON)]] for at in seconds]
    return {**_series(one, []), "samples": samples}
