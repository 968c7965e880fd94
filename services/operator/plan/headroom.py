"""Headroom of a GPU type: what was asked for, and what the decision service advises; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

OFF, ADVISE, APPLY = "off", "advise", "apply"


@dataclass(frozen=True, slots=True)
class StatedHeadroom:
    """What a GPUBudget says of headroom.

    Attributes:
        mode: `off`, `advise` or `apply`.
        risk: Chance of a need beyond it; None: what costs least.
    """

    mode: str
    risk: float | None = None


def most_careful(one: StatedHeadroom | None, other: StatedHeadroom | None) -> StatedHeadroom | None:
    """What holds of two that say something of one type: the mode that does less, the lower risk.

    A risk that is stated is more careful than none.
    """
    if one is None or other is None:
        return one or other
    mode = next(mode for mode in (OFF, ADVISE, APPLY) if mode in (one.mode, other.mode))
    risks = [each.risk for each in (one, other) if each.risk is not None]
    return StatedHeadroom(mode, min(risks, default=None))


@dataclass(frozen=True, slots=True)
class HeadroomAdvice:
    """Headroom of a type as the decision service advises it, a row of `gpu_headroom`.

    Attributes:
        risk: Chance of a need beyond it that was asked for, or that costs least.
        need_gpus: What services may need beyond what they hold, exceeded with that chance.
        gpus: To have ready, in whole chunks.
        chunk_gpus: GPUs of a chunk.
        free_gpus: Free when it was advised.
        risk_before: Chance of a need beyond what is free.
        risk_after: The same while it is held.
        is_capped: The ceiling or the budget allows less than the need.
        n_workloads: Services whose needs are in it.
        n_unknown: Services of which it is not known what they may need.
        beyond_ratio: Share of the start-ups that end behind the forecasts.
    """

    risk: float
    need_gpus: int
    gpus: int
    chunk_gpus: int
    free_gpus: int
    risk_before: float
    risk_after: float
    usd_per_hour: float
    is_capped: bool
    n_workloads: int
    n_unknown: int
    beyond_ratio: float
    advised_at: datetime

    @property
    def risk_averted(self) -> float:
        """By how much holding it lowers the chance of a need that nothing is free for."""
        return self.risk_before - self.risk_after


@dataclass(frozen=True, slots=True)
class BufferState:
    """How it stands with the CapacityBuffer that holds a type's headroom.

    Attributes:
        name: `CapacityBuffer/NAMESPACE/NAME`; empty: there is none.
        gpus: GPUs that it asks room for; they never count as there.
        reason: One word for a condition, where there is a problem.
        problem: Why they are not held, and what would change it; empty: nothing is wrong.
    """

    name: str = ""
    gpus: int = 0
    reason: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TypeHeadroom:
    """Headroom of one type as a pass sees it.

    Attributes:
        stated: What was asked for; None: nothing was, so what costs least is advised.
        advice: None: none is known that still holds.
        buffer: What holds it; None: nothing does.
    """

    stated: StatedHeadroom | None = None
    advice: HeadroomAdvice | None = None
    buffer: BufferState | None = None

    @property
    def is_off(self) -> bool:
        """True where no advice is wanted."""
        return self.stated is not None and self.stated.mode == OFF

    @property
    def is_applied(self) -> bool:
        """True where it is to be held."""
        return self.stated is not None and self.stated.mode == APPLY
