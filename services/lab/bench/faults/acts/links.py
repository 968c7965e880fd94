"""Faults between processes: connections that break or stand still, wrong answers of the API."""

from __future__ import annotations

from typing import Any

from services.lab.bench.faults.rig import FaultRig

_DELAY_S = 0.15
_SCALE = {"subresource": "scale", "verb": "patch"}
_PLENTY = 100_000
_ANSWERS: dict[str, list[dict[str, Any]]] = {
    "conflict": [{"kind": "conflict", "times": _PLENTY, **_SCALE}],
    "throttle": [{"kind": "throttle", "times": 40, "retry_after_s": 1}],
    "error": [{"kind": "error", "times": 40}],
    "unauthorized": [{"kind": "unauthorized", "times": _PLENTY}],
    "forbidden": [{"kind": "forbidden", "times": _PLENTY}],
    "slow": [{"kind": "slow", "times": 20, "delay_s": 2.0}],
    "late": [{"kind": "slow", "times": 20, "delay_s": 22.0, **_SCALE}],
    "lists": [
        {"kind": "unavailable", "times": _PLENTY, "verb": "list"},
        {"kind": "gone"},
    ],
    "drop_watch": [{"kind": "drop_watch"}],
    "gone": [{"kind": "gone"}],
}
_AGAIN_EVERY = 20


class LinkFault:
    """A connection of the platform is cut, delayed or held back."""

    is_threaded = False

    def __init__(self, link: str, what: str) -> None:
        """Do `what` to the proxy of `link`: `cut`, `delay` or `stall`."""
        self._link = link
        self._what = what
        self._before = 0

    def begin(self, rig: FaultRig) -> bool:
        """Come into force."""
        proxy = rig.proxies[self._link]
        self._before = self._count(rig)
        if self._what == "cut":
            proxy.cut()
        elif self._what == "delay":
            proxy.delay(_DELAY_S)
        else:
            proxy.stall()
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """Let it pass."""
        rig.proxies[self._link].mend(**{self._what: True})
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """The proxy counted connections or pieces."""
        return self._count(rig) > self._before

    def _count(self, rig: FaultRig) -> int:
        proxy = rig.proxies[self._link]
        return {"cut": proxy.n_cut, "delay": proxy.n_delayed, "stall": proxy.n_held}[self._what]


class WrongAnswers:
    """The API server answers wrongly or late, or breaks watches."""

    is_threaded = True

    def __init__(self, what: str) -> None:
        """Let it do what `what` names."""
        self._bodies = _ANSWERS[what]
        self._serials: list[float] = []
        self._n_hits = 0
        self._turn = 0

    def begin(self, rig: FaultRig) -> bool:
        """Ask the cluster for it."""
        for body in self._bodies:
            if "times" in body:
                self._serials.append(rig.laboratory.add(body))
            else:
                self._n_hits += rig.laboratory.break_watches(body)
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Watches that were opened anew are broken again."""
        self._turn += 1
        if self._turn % _AGAIN_EVERY == 0:
            for body in self._bodies:
                if "times" not in body:
                    self._n_hits += rig.laboratory.break_watches(body)
        return True

    def end(self, rig: FaultRig) -> bool:
        """Let it answer rightly; what it hit is known then."""
        self._n_hits += rig.laboratory.take_back(self._serials)
        self._serials.clear()
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """The cluster counted requests or watches."""
        return self._n_hits > 0
