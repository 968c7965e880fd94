"""The fault hook: requests that fail, and watches that break, on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.lab.cluster.admission.access import Question
from services.lab.cluster.storage import failures
from services.lab.cluster.storage.failures import ApiFailure

REQUEST_KINDS = (
    "conflict",
    "throttle",
    "error",
    "unavailable",
    "unauthorized",
    "forbidden",
    "slow",
)
WATCH_KINDS = ("drop_watch", "gone")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Empty fields match everything.

    Attributes:
        kind: `conflict` (409), `throttle` (429), `error` (500), `unavailable` (503),
            `unauthorized` (401), `forbidden` (403), `slow`, `drop_watch` (the connection is
            cut), `gone` (410 in the watch).
        times: Requests or new watches that it still hits.
        skip: Matching requests that pass before it hits.
        delay_s: How long `slow` takes.
        retry_after_s: What `throttle` and `unavailable` ask for.
    """

    kind: str
    verb: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    times: int = 1
    skip: int = 0
    delay_s: float = 1.0
    retry_after_s: int = 1

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Fault:
        """Read a fault.

        Raises:
            ValueError: Naming what is wrong.
        """
        known = set(cls.__dataclass_fields__)
        if unknown := set(body) - known:
            raise ValueError(f"unknown {sorted(unknown)}; a fault has {sorted(known)}")
        kind = body.get("kind")
        if kind not in (*REQUEST_KINDS, *WATCH_KINDS):
            raise ValueError(f"kind={kind!r} must be one of {(*REQUEST_KINDS, *WATCH_KINDS)}")
        # Open watches break at once; new ones only when asked for.
        defaults = {"times": 0} if kind in WATCH_KINDS else {}
        return cls(**{**defaults, **body})

    def matches(self, question: Question) -> bool:
        """Check whether a request is meant."""
        return all(
            not wanted or wanted == got
            for wanted, got in (
                (self.verb, question.verb),
                (self.resource, question.resource),
                (self.subresource, question.subresource),
                (self.namespace, question.namespace),
                (self.name, question.name),
            )
        )


class Faults:
    """Faults in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.n_hits = 0

    def add(self, fault: Fault) -> None:
        """Let a fault come into force."""
        if fault.times > 0:
            self._faults.append(fault)

    def clear(self) -> None:
        """End every fault."""
        self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        """Faults in force, as JSON."""
        return [asdict(fault) for fault in self._faults]

    def hit(self, question: Question, kinds: tuple[str, ...]) -> Fault | None:
        """The fault that this request meets, counted; None when it passes."""
        for i, fault in enumerate(self._faults):
            if fault.kind not in kinds or not fault.matches(question):
                continue
            if fault.skip:
                self._faults[i] = replace(fault, skip=fault.skip - 1)
                continue
            if fault.times > 1:
                self._faults[i] = replace(fault, times=fault.times - 1)
            else:
                del self._faults[i]
            self.n_hits += 1
            return fault
        return None


def failure_of(fault: Fault, question: Question) -> ApiFailure | None:
    """Answer to the client; None when the request is only slow."""
    why = "fault asked for by the laboratory"
    makers: dict[str, Callable[[], ApiFailure]] = {
        "conflict": lambda: ApiFailure(
            409,
            "Conflict",
            f"Operation cannot be fulfilled on {question.resource} {question.name!r}: {why}",
        ),
        "throttle": lambda: failures.too_many_requests(why, fault.retry_after_s),
        "error": lambda: failures.internal_error(why),
        "unauthorized": failures.unauthorized,
        "forbidden": lambda: failures.forbidden(question.resource, question.name, why),
        "unavailable": lambda: ApiFailure(
            503,
            "ServiceUnavailable",
            why,
            {"retryAfterSeconds": fault.retry_after_s},
            {"Retry-After": str(fault.retry_after_s)},
        ),
    }
    maker = makers.get(fault.kind)
    return maker() if maker else None
