"""The `/lab` paths: time, state, faults, tokens and call counts for whoever runs the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.lab.cluster.cluster import SimulatedCluster
from services.lab.cluster.storage import failures
from services.lab.cluster.wire.faults import WATCH_KINDS, Fault, Faults
from services.lab.cluster.wire.watching import Watches


class Laboratory:
    """Routes of the laboratory, next to the Kubernetes API."""

    def __init__(self, cluster: SimulatedCluster, faults: Faults, watches: Watches) -> None:
        self._cluster = cluster
        self._faults = faults
        self._watches = watches
        self.calls: Counter[tuple[str, str, str, str]] = Counter()

    def answer(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """Do what a `/lab` request asks.

        Raises:
            ApiFailure: 400 for a wrong body, 404 for an unknown path.
        """
        actions: dict[tuple[str, str], Callable[[Any], dict[str, Any]]] = {
            ("POST", "advance"): self._advance,
            ("GET", "state"): lambda _: self._cluster.state(),
            ("POST", "faults"): self._add_faults,
            ("GET", "faults"): lambda _: self._listed_faults(),
            ("DELETE", "faults"): lambda _: self._clear_faults(),
            ("POST", "tokens"): self._issue_token,
            ("GET", "requests"): lambda _: self._counted_calls(),
            ("DELETE", "requests"): lambda _: self._forget_calls(),
        }
        action = actions.get((method, path))
        if action is None:
            raise failures.no_such_path()
        return action(body)

    def _advance(self, body: Any) -> dict[str, Any]:
        if self._cluster.is_real_time:
            raise failures.bad_request("the cluster follows the wall clock: it cannot be advanced")
        text = str((body or {}).get("to"))
        try:
            to = datetime.fromisoformat(text)
            if to.tzinfo is None:
                raise ValueError("it has no time zone")
            return self._cluster.advance(to.timestamp())
        except ValueError as error:
            raise failures.bad_request(f"to={text!r} must be an RFC 3339 time: {error}") from error

    def _add_faults(self, body: Any) -> dict[str, Any]:
        try:
            entries = body.get("faults", [body])
            faults = [Fault.of(entry) for entry in entries]
        except (AttributeError, TypeError, ValueError) as error:
            raise failures.bad_request(f"not a fault: {error}") from error
        n_broken = 0
        for fault in faults:
            self._faults.add(fault)
            if fault.kind in WATCH_KINDS:
                n_broken += self._watches.break_open(fault)
        return {**self._listed_faults(), "watchesBroken": n_broken}

    def _listed_faults(self) -> dict[str, Any]:
        return {"faults": self._faults.listed(), "hits": self._faults.n_hits}

    def _clear_faults(self) -> dict[str, Any]:
        self._faults.clear()
        return self._listed_faults()

    def _issue_token(self, body: Any) -> dict[str, Any]:
        try:
            namespace, name = body["namespace"], body["name"]
        except (KeyError, TypeError) as error:
            raise failures.bad_request("a token needs namespace and name") from error
        return {"token": self._cluster.access.issue_token(namespace, name)}

    def _counted_calls(self) -> dict[str, Any]:
        return {
            "openWatches": len(self._watches),
            "requests": [
                {"user": user, "verb": verb, "group": group, "resource": resource, "count": n}
                for (user, verb, group, resource), n in sorted(self.calls.items())
            ],
        }

    def _forget_calls(self) -> dict[str, Any]:
        self.calls.clear()
        return self._counted_calls()
