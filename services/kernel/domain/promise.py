"""What is known of a promise, as the decision service stores it and every surface shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeGuard, get_args

ViolationSource = Literal["measured", "believed"]
"""By what requests felt, or by the capacity that Harmony believes a replica has."""
SliStatus = Literal["Measured", "NoObjective", "NoSeries", "NoAnswer", "NoRequests"]
"""Whether the objective is measured; all but the first say why it is not."""
_ROUNDING = 1e-4
"""Counts come as rates of single precision: ends that differ by less of the upper are equal."""
LEAST_CHANCE = 1e-12
"""Of a step that windows are promised of: nothing tells a smaller one."""


@dataclass(frozen=True, slots=True)
class PromiseFigures:
    """The figures of one workload's promise. No surface computes its own. None: not known.

    Attributes:
        source: What `violation_ratio`, `left_ratio` and `n_steps` come from; None: no step was
            counted.
        violation_ratio: Share out of SLA over the window, by `source`; None with a source: its
            steps had no request.
        measured_ratio: The same as requests felt it: it decides. An estimate where the threshold
            lies between two bucket edges, else the largest that it can be. None: not measured.
        measured_low_ratio: The least that it can be; None: that is `measured_ratio`, or the ends
            are not known of the whole window.
        measured_high_ratio: The most that it can be; None: as of the least.
        believed_ratio: Share of time beyond the capacity that is believed, whatever is promised.
        left_ratio: Share of the error budget that is left; below 0: overspent. None where no step
            was counted: a whole budget would be told of a service of which nothing is known.
        left_high_ratio: The same by `measured_low_ratio`; None where that is.
        left_low_ratio: The same by `measured_high_ratio`; None where that is.
        n_steps: Steps counted; older ones fade.
        sli_status: Whether the objective is measured.
        sli_message: Why it is not, and what to do; empty: it is.
        goal_unreachable_message: Why no number of replicas keeps the promise; empty: nothing says
            so.
        not_capacity_message: Why more requests miss than the load explains, and what to do; empty:
            they do not.
        demand_censored_message: Why the demand seen may be less than what arrives; empty: it is
            not.
    """

    source: ViolationSource | None = None
    violation_ratio: float | None = None
    measured_ratio: float | None = None
    believed_ratio: float | None = None
    left_ratio: float | None = None
    n_steps: float = 0.0
    sli_status: SliStatus | None = None
    sli_message: str = ""
    demand_censored_message: str | None = None
    goal_unreachable_message: str = ""
    not_capacity_message: str | None = None
    measured_low_ratio: float | None = None
    left_high_ratio: float | None = None
    measured_high_ratio: float | None = None
    left_low_ratio: float | None = None

    @property
    def is_answered(self) -> bool:
        """The objective's counts answer now, be it that there was no request."""
        return self.sli_status in ("Measured", "NoRequests")


def step_promise(kind: str, epsilon: float, window_s: float, step_s: float) -> float:
    """Largest share out of SLA that is promised of each step, as decisions keep it.

    That is what shares of steps or of requests are compared with. Windows (`AnyInWindow`) of n
    steps are promised where each step is with a chance of `1 - (1 - epsilon)^(1 / n)`.
    """
    if kind != "AnyInWindow":
        return epsilon
    n = max(1.0, window_s / step_s)
    return max(min(epsilon, LEAST_CHANCE), -math.expm1(math.log1p(-epsilon) / n))


def is_range(low: float | None, high: float | None) -> TypeGuard[float]:
    """Check whether two ends are different figures; an unknown is none."""
    return low is not None and high is not None and low < high * (1.0 - _ROUNDING)


def promise_figures(state: Mapping[str, Any] | None) -> PromiseFigures:
    """The figures in `risk_states.state`; None: no step of the workload has been looked at yet.

    A state that names no source was stored when nothing could be measured: its figures are believed
    ones, whatever they were called then. What somebody made something else by hand is not known.
    """
    if not state or not isinstance(state, Mapping):
        return PromiseFigures()
    number, words = partial(_number, state), partial(_words, state)
    source = state.get("budget_source")
    if source not in get_args(ViolationSource):
        ratio, n_steps = number("measured_ratio"), number("observed_steps") or 0.0
        return PromiseFigures(
            source=None if ratio is None else "believed",
            violation_ratio=ratio,
            believed_ratio=ratio,
            left_ratio=number("budget_left_ratio") if n_steps > 0 else None,
            n_steps=n_steps,
        )
    n_steps = number("measured_steps" if source == "measured" else "observed_steps") or 0.0
    status = state.get("sli_status")
    measured = number("measured_ratio") if source == "measured" else None
    low, high = number("measured_low_ratio"), number("measured_high_ratio")
    has_low, has_high = is_range(low, measured), is_range(measured, high)
    return PromiseFigures(
        source=source if n_steps > 0 else None,
        violation_ratio=number("violation_ratio"),
        measured_ratio=measured,
        believed_ratio=number("believed_ratio"),
        left_ratio=number("budget_left_ratio") if n_steps > 0 else None,
        n_steps=n_steps,
        sli_status=status if status in get_args(SliStatus) else None,
        sli_message=words("sli_message") or "",
        demand_censored_message=words("demand_censored_message"),
        goal_unreachable_message=words("goal_unreachable_message") or "",
        not_capacity_message=words("not_capacity_message"),
        measured_low_ratio=low if has_low else None,
        left_high_ratio=number("budget_left_high_ratio") if has_low else None,
        measured_high_ratio=high if has_high else None,
        left_low_ratio=number("budget_left_low_ratio") if has_high else None,
    )


def _number(state: Mapping[str, Any], name: str) -> float | None:
    value = state.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _words(state: Mapping[str, Any], name: str) -> str | None:
    value = state.get(name)
    return value if isinstance(value, str) else None
