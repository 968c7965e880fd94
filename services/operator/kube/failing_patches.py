"""Patches that failed: which scalings come after the others, and when they are tried again; pure.

An admission webhook that hangs holds a patch up for its time limit, 10 s by default, and all that
is to be patched after it waits as long. As a rule it is asked about the objects of one namespace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.operator.plan.scaling import Scaling
from services.operator.resource.autoscaler import TargetKey

QUICK_S = 1.0
"""A patch that failed within so long is sent again at once, and holds up no other."""
_LONGEST_PAUSE = timedelta(seconds=30)
_MAY_COME_FOR = timedelta(seconds=40)
"""The API server ends a request after a minute, and this process waits for 20 s of it."""
_KNOWN_FOR = timedelta(minutes=10)
_MOST_SPENT_S = 30.0
"""Once slow failures have taken so long in a pass, what was not tried is left to the next one."""


@dataclass(frozen=True, slots=True)
class FailingPatch:
    """A patch that failed when it was tried last.

    Attributes:
        message: What the API server said.
        since: When it began to fail.
        at: When it was tried last.
        took_s: How long that took.
        workload_id: Whose target it is of; 0: of pods.
        is_open: There was no answer, and it was not found out yet what became of it.
    """

    message: str
    since: datetime
    at: datetime
    took_s: float
    workload_id: int = 0
    is_open: bool = False

    @property
    def is_slow(self) -> bool:
        """True where others would wait for it."""
        return self.took_s > QUICK_S

    def may_come(self, now: datetime) -> bool:
        """True where it had no answer, and may still be carried out."""
        return self.is_open and abs(now - self.at) < _MAY_COME_FOR

    def is_due(self, now: datetime) -> bool:
        """True where it may be tried: a slow one after as long as it has failed, 30 s at most."""
        pause = min(self.at - self.since, _LONGEST_PAUSE)
        return not self.is_slow or abs(now - self.at) >= pause  # a clock may have been set back

    def is_known(self, now: datetime) -> bool:
        """False where it was tried so long ago that it says nothing any more."""
        return abs(now - self.at) < _KNOWN_FOR


Failing = Mapping[TargetKey, FailingPatch]


@dataclass(slots=True)
class SlowFailures:
    """How long the patches of one pass have waited for some that failed.

    Attributes:
        spent_s: Seconds that slow failures took.
        slow: Namespaces in which there were any.
        is_away: The API server did not answer at all.
    """

    spent_s: float = 0.0
    slow: set[str] = field(default_factory=set)
    is_away: bool = False

    @property
    def is_over(self) -> bool:
        """True where no further round is to be tried."""
        return self.is_away or self.spent_s > 0.0

    def note(self, namespace: str, took_s: float) -> None:
        """A patch of `namespace` failed after `took_s`."""
        if took_s > QUICK_S:
            self.spent_s += took_s
            self.slow.add(namespace)

    def leaves(self, namespace: str) -> bool:
        """True where no other patch of `namespace` is to be tried now."""
        return namespace in self.slow or self.spent_s >= _MOST_SPENT_S


def rounds(scalings: Sequence[Scaling], failing: Failing, now: datetime) -> list[list[Scaling]]:
    """The scalings in the order in which they are to be tried, each round for itself.

    First those of namespaces in which no patch is slow, then others whose own are not. Then, one by
    one, those that were slow themselves, what was tried longest ago first. Of each namespace they
    pause together, so that many of them cost no more than one. One that had no answer is not tried
    until it is found out what became of it.
    """
    slow = {key: each for key, each in failing.items() if each.is_slow and each.is_known(now)}
    namespaces = {namespace for _, _, namespace, _ in slow}
    due = {namespace for namespace in namespaces if _is_due(namespace, slow, now)}
    first: list[Scaling] = []
    second: list[Scaling] = []
    last: list[tuple[datetime, Scaling]] = []
    for scaling in scalings:
        own = [slow[key] for key in _keys(scaling) if key in slow]
        is_open = any(each.is_open for each in own)
        if own and not is_open and scaling.autoscaler.namespace in due:
            last.append((max(each.at for each in own), scaling))
        elif own:
            continue
        elif scaling.autoscaler.namespace in namespaces:
            second.append(scaling)
        else:
            first.append(scaling)
    last.sort(key=lambda pair: pair[0])
    return [first, second, *([scaling] for _, scaling in last)]


def _is_due(namespace: str, slow: Failing, now: datetime) -> bool:
    own = [each for key, each in slow.items() if key[2] == namespace]
    newest = max(own, key=lambda each: each.at)
    return replace(newest, since=min(each.since for each in own)).is_due(now)


def _keys(scaling: Scaling) -> list[TargetKey]:
    return [scaling.members[change.name].target.key for change in scaling.patches]
