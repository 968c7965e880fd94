"""The outside sender: pushes demand every second, and sends again until it is accepted."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from services.kernel.clock import SystemClock
from services.lab.bench.faults.fleet import CAPACITY, DEMAND, FaultFleet, FleetMember
from services.lab.bench.faults.outside.own_thread import OwnThread

INTERVAL_S = 1.0
_TIMEOUT_S = 5.0
_RETRY_S = 0.5
_MOST_AT_ONCE = 60
POISON: tuple[float | str, ...] = (9e18, "NaN", -5.0, 1e300)
"""What a broken exporter sends; each in turn."""
_DAY_S = 86_400


@dataclass(slots=True)
class SendingLog:
    """What became of the requests.

    Attributes:
        accepted: Seconds since the epoch of the samples that were accepted, by workload.
        answers: Answers by status.
        wrong: Answers that no sender should get while a database is away: status and body.
        n_poisoned: Poisoned samples that were sent and answered.
        odd: Requests that were odd in one of `kinds.ODD_WAYS` and were answered.
    """

    accepted: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    n_poisoned: int = 0
    odd: Counter[str] = field(default_factory=Counter)

    def accepted_so_far(self) -> dict[str, set[int]]:
        """A copy of `accepted`, which goes on growing while it is held against the rows."""
        return {key: set(seconds) for key, seconds in list(self.accepted.items())}


class OutsideSender(OwnThread):
    """Pushes every workload's demand from a thread of its own.

    Attributes:
        log: What became of it.
        is_poisoned: Set by whoever wants the victim to send poison.
        unknown_until_s: Until then, by the monotonic clock, workloads may be unknown.
        spoilt_until_s: Until then the victim may be unknown, and no other.
        odd_ways: Ways of `kinds.ODD_WAYS` to be odd in besides.
    """

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
        self.odd_ways: set[str] = set()
        self.unknown_until_s = self.spoilt_until_s = 0.0

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
            if not self._knows_none(answer):
                self._note_refusal(answer)
            return _RETRY_S
        self.log.n_poisoned += len(seconds) if is_poisoned else 0
        rejected = [one for one in answer.json()["rejected"] if not is_poisoned]
        if rejected and not self._is_excused(rejected, len(seconds)):
            self.log.wrong.append(f"202 with {rejected[0]}")
        if not rejected:
            for one in self._fleet.healthy:
                self.log.accepted[one.key].update(seconds)
        for _ in seconds:
            self._waiting.popleft()
        self._be_odd(series, seconds)
        return 0.0 if self._waiting else INTERVAL_S / 4

    def _is_excused(self, rejected: Sequence[Mapping[str, Any]], n_samples: int) -> bool:
        """Whether what was refused is of workloads, or of the victim alone, that may be unknown."""
        if any(one["reason"] != "unknown_workload" for one in rejected):
            return False
        now_s = time.monotonic()
        is_victims = all(
            one["count"] == n_samples
            and str(one.get("example", "")).startswith(f"{self._fleet.victim.key} ")
            for one in rejected
        )
        return now_s < self.unknown_until_s or (is_victims and now_s < self.spoilt_until_s)

    def _be_odd(self, series: Sequence[dict[str, Any]], seconds: Sequence[int]) -> None:
        """Send what was accepted once more, or samples of the victim with times far off."""
        bodies = {
            "twice": list(series),
            "wrong_times": [_mistimed(self._fleet.victim, seconds[-1])],
        }
        for way in sorted(self.odd_ways):
            try:
                answer = self._http.post("/v1/observations", json={"observations": bodies[way]})
            except httpx.TransportError:
                continue
            self.log.odd[way] += 1
            if answer.status_code not in (202, 400, 422):
                self._note_refusal(answer)

    def _knows_none(self, answer: httpx.Response) -> bool:
        """Check for the refusal of samples whose workloads are all not registered again yet."""
        if answer.status_code != 422 or time.monotonic() >= self.unknown_until_s:
            return False
        reasons = {one.get("field") for one in answer.json().get("errors", ())}
        return reasons == {"unknown_workload"}

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


def _mistimed(one: FleetMember, now: int) -> dict[str, Any]:
    """Samples of the epoch, of long ago, of soon and of a year that no calendar has."""
    times = (0, now - 400 * _DAY_S, now - _DAY_S, now + 30, now + _DAY_S, 10**12)
    return {**_series(one, []), "samples": [[at, CAPACITY] for at in times]}
