"""What chance decides in a simulation, and the journal of everything: one seed, one run."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

N_SHOWN = 30
"""Effects that a failure shows."""


class Chance:
    """All choices of one run, drawn from its seed in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def happens(self, share: float) -> bool:
        """True in `share` of all cases; 0 draws nothing, so that a quiet world stays one."""
        return share > 0.0 and self._random.random() < share

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self._random.randrange(len(choices))]

    def between(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def seconds(self, low: float, high: float) -> float:
        return round(self._random.uniform(low, high), 3)


@dataclass
class Journal:
    """Effects in their order: a digest of all of them, and the last ones as text."""

    n: int = 0
    last: deque[str] = field(default_factory=lambda: deque(maxlen=N_SHOWN))
    _hash: blake2b = field(default_factory=lambda: blake2b(digest_size=16))

    def note(self, line: str) -> None:
        self.n += 1
        self.last.append(line)
        self._hash.update(line.encode() + b"\n")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class Crash(BaseException):
    """The process that does this ends here; nothing of the product may catch it."""


class Stop(BaseException):
    """An invariant does not hold: the run ends at once, whatever the product catches."""


@dataclass(frozen=True)
class Faults:
    """How often each fault strikes, as a share of the occasions for it.

    Attributes:
        crash_write: A crash before or after a write: a commit, a patch, a status.
        crash_read: A crash before a statement or a read.
        statement: A statement fails.
        commit: A commit fails, half of the time after it was carried out.
        patch: A patch is refused, breaks before it is carried out, or after that.
        request: Another request is refused or breaks.
        hang: A request or a transaction takes long, while the world goes on.
        stale: A list is a moment old.
        late: A patch without an answer is carried out later.
        outage: The API server, or the database, is away for some seconds; by tick.
        lease: A process cannot renew its lease for some seconds, or is stopped; by tick.
        outside: Something else changes: targets, specs, pauses, budgets, nodes; by tick.
        meddle: Somebody changes the bounds after a patch was refused, sets something else than an
            operator had announced that ended, or forbids GPUBudgets in place of StatefulSets.
        webhook: A webhook about the scale of one workload's targets begins to hang, or answers
            again; by tick.
    """

    crash_write: float = 0.004
    crash_read: float = 0.0003
    statement: float = 0.002
    commit: float = 0.01
    patch: float = 0.15
    request: float = 0.003
    hang: float = 0.003
    stale: float = 0.1
    late: float = 0.0
    outage: float = 0.005
    lease: float = 0.01
    outside: float = 0.15
    meddle: float = 0.0
    webhook: float = 0.0


QUIET = Faults(*[0.0] * 14)
_EVEN = Faults()
_BROKEN = Faults(patch=0.5, outside=0.25)
_HUNG = Faults(hang=0.01, crash_write=0.012, lease=0.02)
_OLD = Faults(crash_write=0.012, stale=0.4, patch=0.3)
_MEDDLED = Faults(patch=0.5, outside=0.25, crash_write=0.012, meddle=0.5)
PROFILES = (_EVEN, _BROKEN, _HUNG, _OLD, _EVEN, _MEDDLED, _HUNG, _OLD)
"""Faults of a run, by its seed: what strikes often in some meets what seldom strikes in others."""
OF_SEED = Faults(*[-1.0] * 14)
"""Stands for those that the seed says."""
