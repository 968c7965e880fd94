"""What a request is promised, and whether it got it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.kernel.errors import InvalidInput
from services.lab.arena.requests import ServedRequests

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RequestGoals:
    """A request is good when it meets both.

    Attributes:
        ttft_ms: Time to the first token, at most.
        tpot_ms: Mean time between its tokens, at most; a request of one token has none to miss.
    """

    ttft_ms: float
    tpot_ms: float

    def __post_init__(self) -> None:
        """Refuse a goal that nothing can meet."""
        for name in ("ttft_ms", "tpot_ms"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise InvalidInput(f"{name}={value:g} must be > 0")


@dataclass(frozen=True, slots=True)
class MissedGoals:
    """Per request, which goals it missed; a request that was never served missed both.

    Attributes:
        ttft: (N,) the first token came too late, or never.
        tpot: (N,) its tokens came too slowly, or never.
    """

    ttft: BoolArray
    tpot: BoolArray

    @property
    def either(self) -> BoolArray:
        """(N,) at least one goal was missed."""
        return self.ttft | self.tpot


def missed_goals(served: ServedRequests, goals: RequestGoals) -> MissedGoals:
    """Which goals each request missed."""
    is_unserved = np.isnan(served.ttft_ms)
    return MissedGoals(
        ttft=is_unserved | (served.ttft_ms > goals.ttft_ms),
        tpot=is_unserved | (served.tpot_ms > goals.tpot_ms),
    )
