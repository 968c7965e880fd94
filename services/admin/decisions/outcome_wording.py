"""What came of a decision, in words; pure. A believed share is never called measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.admin.decisions.schemas import KilledPodView, OutcomeView
from services.admin.rest.formats import duration, number, percent


@dataclass(frozen=True, slots=True)
class ViolationMeans:
    """Means over the steps of a decision; None: no step has one.

    Attributes:
        measured: Share out of SLA as requests felt it.
        believed: Share by the capacity that is believed.
        n_measured: Steps that were measured.
        n_believed: Steps of which something is believed.
    """

    measured: float | None
    believed: float | None
    n_measured: int
    n_believed: int


def violation_means(outcomes: Sequence[OutcomeView]) -> ViolationMeans:
    """Both means over some steps."""
    measured, believed = (
        [ratio for one in outcomes if (ratio := getattr(one, name)) is not None]
        for name in ("measured_ratio", "believed_ratio")
    )
    return ViolationMeans(_mean(measured), _mean(believed), len(measured), len(believed))


def _mean(ratios: Sequence[float]) -> float | None:
    return sum(ratios) / len(ratios) if ratios else None


def means_words(means: ViolationMeans) -> str:
    """`measured 3 % out of SLA over 2 steps, believed 1 %`; empty: nothing is known."""
    parts = []
    if means.measured is not None:
        steps = _steps(means.n_measured)
        parts.append(f"measured {percent(means.measured)} out of SLA over {steps}")
    if means.believed is not None:
        over = "" if parts else f" out of SLA over {_steps(means.n_believed)}, nothing measured"
        parts.append(f"believed {percent(means.believed)}{over}")
    return ", ".join(parts)


def cut_off_words(killed: Sequence[KilledPodView]) -> str:
    """What a scaling in cut off; empty: nothing that was seen.

    A pod that was seen without requests had none to lose: its server does not end.
    """
    killed = [one for one in killed if one.requests != 0]
    if not killed:
        return ""
    pods = "1 pod was" if len(killed) == 1 else f"{len(killed)} pods were"
    graces = sorted({one.grace_s for one in killed})
    grace = " and ".join(duration(seconds) for seconds in graces)
    known = [one.requests for one in killed if one.requests is not None]
    had = f"{number(sum(known))} seen last" if known else "how many is not known"
    return (
        f"the scaling in cut requests off: {pods} killed at the end of the grace of {grace}, with "
        f"the requests still there ({had}); a longer grace lets them finish"
    )


def _steps(n: int) -> str:
    return "1 step" if n == 1 else f"{n} steps"


def step_words(outcome: OutcomeView) -> str:
    """One step: `measured 1.2 % of 340 requests missed (0.9 to 1.2 %); believed …`."""
    believed = f"believed {percent(outcome.believed_ratio)} of the time out of SLA"
    missed = miss_interval(outcome)
    if not missed:
        return f"{believed}, nothing measured"
    requests = number(outcome.sli_requests)
    open_end = "" if outcome.is_final else ", may still change"
    return f"measured {missed[0]} of {requests} requests missed{missed[1]}{open_end}; {believed}"


def miss_interval(outcome: OutcomeView) -> tuple[str, str] | None:
    """The share of requests that missed, and its range in brackets; None: not measured.

    Of several goals the share is known as a range only; its upper end is the one that counts. Off
    a bucket edge that may be an estimate.
    """
    if outcome.measured_ratio is None or outcome.sli_miss_high is None:
        return None
    low, high = percent(outcome.sli_miss_low), percent(outcome.sli_miss_high)
    is_exact = outcome.sli_miss_low is None or low == high
    return high, "" if is_exact else f" ({low.removesuffix(' %')} to {high})"
