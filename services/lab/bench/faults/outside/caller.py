"""The outside caller of the API: reads the fleet, writes what is audited, notes wrong answers."""

from __future__ import annotations

from collections import Counter

import httpx

from services.lab.bench.faults.outside.own_thread import OwnThread

_TIMEOUT_S = 5.0
_PAUSE_S = 1.0
_READS_PER_WRITE = 10


class ApiCaller(OwnThread):
    """Calls the API once a second from a thread of its own.

    Attributes:
        answers: Answers by status.
        wrong: Answers that are neither a success nor 503 with `Retry-After`.
    """

    def __init__(self, api_url: str, admin_key: str) -> None:
        """Call the API at `api_url`."""
        super().__init__("caller", 2 * _TIMEOUT_S)
        headers = {"Authorization": f"Bearer {admin_key}"}
        self._http = httpx.Client(
            base_url=api_url, headers=headers, timeout=_TIMEOUT_S, trust_env=False
        )
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []

    def _close(self) -> None:
        self._http.close()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(_PAUSE_S):
            number += 1
            try:
                self._note(self._call(number))
            except httpx.TransportError:  # a killed or paused server has no answer
                continue

    def _call(self, number: int) -> httpx.Response:
        if number % _READS_PER_WRITE:
            return self._http.get("/v1/workloads")
        body = {"name": f"bench-{number}", "role": "viewer"}
        return self._http.post("/v1/keys", json=body)

    def _note(self, answer: httpx.Response) -> None:
        self.answers[answer.status_code] += 1
        is_busy = answer.status_code == 503 and "Retry-After" in answer.headers
        if not answer.is_success and not is_busy:
            path = answer.request.url.path
            self.wrong.append(f"{path}: {answer.status_code} {answer.text[:200]}")
