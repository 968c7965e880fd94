"""The cluster's own fault hook: faults of one user are put in and taken back beside others'."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

_TIMEOUT_S = 3.0
_TAG_S = 1e-6
"""Faults carry no name; a millionth of a second in the delay tells one from another."""


class LaboratoryClient:
    """Speaks to `/lab/faults`. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Speak to the cluster at `url`."""
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._given: dict[float, int] = {}

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def add(self, body: Mapping[str, Any]) -> float:
        """Let a fault come into force; returns what it is taken back by."""
        with self._lock:
            tag = float(body.get("delay_s", 1.0)) + _TAG_S * next(self._numbers)
            self._post({**body, "delay_s": tag})
            self._given[tag] = int(body["times"])
            return tag

    def break_watches(self, body: Mapping[str, Any]) -> int:
        """Break the open watches once; returns how many."""
        return int(self._post(body)["watchesBroken"])

    def take_back(self, tags: Sequence[float]) -> int:
        """End faults and leave the others; returns how many requests the ended ones hit."""
        with self._lock:
            listed = self._http.get("/lab/faults").raise_for_status().json()["faults"]
            left = {float(one["delay_s"]): one for one in listed}
            self._http.delete("/lab/faults").raise_for_status()
            kept = [one for tag, one in left.items() if tag not in tags]
            if kept:
                self._post({"faults": kept})
            found = 0
            for tag in tags:
                found += self._given.pop(tag) - int(left.get(tag, {"times": 0})["times"])
            return found

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.post("/lab/faults", json=body).raise_for_status().json()
        return answer
