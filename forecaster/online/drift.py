"""Drift of forecasts: a sequential test that PIT values of issued forecasts stay uniform.

A forecast that is right given what was known at its origin has a PIT value that is uniform whatever
came before; so one step ahead is tested, at origins at least that many steps apart, and the values
are independent as long as the forecasts are right. Each becomes a normal score, on which a few
bettors stake their wealth: outcomes above, outcomes below, forecasts too narrow, forecasts too
wide. A bet multiplies wealth by a likelihood ratio, whose mean is at most 1 while the values are
uniform; wealth below 1 is made up to 1 before each bet (an e-CUSUM).

The law: the mean wealth never exceeds the Shiryaev-Roberts e-detector of the same bets, so the mean
number of tested forecasts until a false alarm at wealth A is at least A (Shin, Ramdas and Rinaldo,
E-detectors, 2023; betting on uniformity: Vovk et al., test martingales, 2003). The bets are
bold, so that they lose on slight faults: a usable forecaster is not an ideal one. State is passed
in and out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtri

from forecaster.errors import ConfigError, HorizonError, ShapeError
from forecaster.online.learner import LearnerState, Outcome
from forecaster.quantiles import pit_and_log_density
from forecaster.types import F32, F64, I64, Bool, Forecast

PIT = "pit"
NEVER = -1
BETS = (
    (1.5, 1.0, "outcomes run above the forecasts"),
    (-1.5, 1.0, "outcomes run below the forecasts"),
    (0.0, 2.5, "forecasts are too narrow"),
    (0.0, 0.4, "forecasts are too wide"),
)
"""Mean and standard deviation of the normal scores that each bettor bets on, and what that says."""
CAP = 10.0
"""Wealth is capped at this multiple of what raises the alarm, so that an end is noticed soon."""


@dataclass(frozen=True, slots=True)
class DriftVerdict:
    """Result of one test of one workload.

    Args:
        workload: Name of the workload.
        kind: Which test: `pit`, or one of `forecaster.online.drift_input.KINDS`.
        statistic: What was found.
        threshold: From where on it is drift, > 0, same unit.
        since_s: Epoch seconds of the first step that speaks for drift; None while there is none.
        reason: The same in words, with figures.
    """

    workload: str
    kind: str
    statistic: float
    threshold: float
    since_s: int | None
    reason: str = field(default="")

    @property
    def is_drifted(self) -> bool:
        """True when the test found drift."""
        return self.since_s is not None

    @property
    def severity(self) -> float:
        """Statistic over threshold; comparable between kinds."""
        return self.statistic / self.threshold


def worst_drift(verdicts: Sequence[DriftVerdict]) -> DriftVerdict | None:
    """The most severe drift; None when no verdict says drift."""
    return max((v for v in verdicts if v.is_drifted), key=lambda v: v.severity, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class PitState(LearnerState):
    """State of W workloads and K bettors.

    Args:
        workloads: W names.
        log_wealth: `(W, K)`.
        begun_s: `(W, K)` origin at which each bettor last had nothing to show; `NEVER` before.
        n_tested: `(W,)` forecasts tested.
        origin_s: `(W,)` newest origin tested; `NEVER` before the first.
        since_s: `(W,)` since when forecasts drift; `NEVER` while they do not.
    """

    N_DIGITS: ClassVar[Mapping[str, int]] = {"log_wealth": 9}

    log_wealth: F64
    begun_s: I64
    n_tested: I64
    origin_s: I64
    since_s: I64

    def __post_init__(self) -> None:
        """Check shapes."""
        n_rows = len(self.workloads)
        wide, narrow = (n_rows, len(BETS)), (n_rows,)
        found = (self.log_wealth.shape, self.begun_s.shape)
        if found != (wide, wide) or any(
            array.shape != narrow for array in (self.n_tested, self.origin_s, self.since_s)
        ):
            raise ShapeError(
                f"log_wealth and begun_s must be {wide}, n_tested, origin_s and since_s {narrow}"
            )

    def evidence(self) -> F64:
        """Decimal logarithm of the mean wealth, `(W,)`."""
        return np.asarray(_log_mean(self.log_wealth) / np.log(10), dtype=np.float64)


def _log_mean(log_wealth: F64) -> F64:
    return np.asarray(np.logaddexp.reduce(log_wealth, axis=1) - np.log(len(BETS)))


@dataclass(frozen=True, slots=True)
class DriftTest:
    """The learner of drift: its settings, and the verdicts that they lead to.

    Args:
        ahead: Step ahead that is tested; tested origins are at least as many steps apart.
        run_length: Least mean number of tested forecasts between false alarms, per workload.
        score_limit: Normal scores are clipped here: no single outcome raises an alarm.
    """

    ahead: int = 3
    run_length: float = 100_000.0
    score_limit: float = 3.0

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.ahead < 1:
            raise ConfigError(f"ahead={self.ahead} must be >= 1")
        if not self.run_length > 1:
            raise ConfigError(f"run_length={self.run_length} must be > 1")
        if not self.score_limit > 0:
            raise ConfigError(f"score_limit={self.score_limit} must be > 0")

    def empty_state(self, workloads: Sequence[str]) -> PitState:
        """A state before the first forecast."""
        n_rows = len(workloads)
        never = np.full(n_rows, NEVER, dtype=np.int64)
        return PitState(
            tuple(workloads),
            np.zeros((n_rows, len(BETS))),
            np.full((n_rows, len(BETS)), NEVER, dtype=np.int64),
            np.zeros(n_rows, dtype=np.int64),
            never,
            never.copy(),
        )

    def observe(
        self, state: PitState, given: Forecast, outcome: Outcome, within: F64 | float = 0.5
    ) -> PitState:
        """Test one forecast per workload, as it was issued; see `bet` and `pit_values`."""
        state.check_workloads(given)
        pits = pit_values(given, outcome.actual, self.ahead, within)
        seen = outcome.observed[:, self.ahead - 1]
        return self.bet(state, pits, seen, given.origin_s, given.step_s)

    def bet(self, state: PitState, pits: F64, seen: Bool, origin_s: I64, step_s: int) -> PitState:
        """Bet on one PIT value per workload, unless it is too close to the last one.

        Args:
            state: State before.
            pits: `(W,)` PIT values at `ahead`; read where `seen` only.
            seen: `(W,)` true where the outcome was observed.
            origin_s: `(W,)` origins, not older than those tested before.
            step_s: Step length, seconds.
        """
        if not pits.shape == seen.shape == origin_s.shape == state.n_tested.shape:
            raise ShapeError(f"pits, seen and origin_s must be ({len(state.workloads)},)")
        is_due = (state.origin_s == NEVER) | (origin_s >= state.origin_s + self.ahead * step_s)
        counts = (seen & is_due)[:, None]
        safe = np.where(seen, np.clip(pits, 1e-12, 1 - 1e-12), 0.5)
        score = np.clip(ndtri(safe), -self.score_limit, self.score_limit)[:, None]
        mean, spread = (np.array([bet[k] for bet in BETS], dtype=np.float64) for k in (0, 1))
        gain = score**2 / 2 - ((score - mean) / spread) ** 2 / 2 - np.log(spread)
        first_s = (origin_s + step_s)[:, None]
        begun = np.where(state.log_wealth <= 0, first_s, state.begun_s)
        cap = np.log(CAP * len(BETS) * self.run_length)
        after = np.minimum(np.maximum(state.log_wealth, 0) + gain, cap)
        log_wealth = np.where(counts, after, state.log_wealth)
        begun = np.where(counts, begun, state.begun_s)
        return replace(
            state,
            log_wealth=log_wealth,
            begun_s=begun,
            n_tested=state.n_tested + counts[:, 0],
            origin_s=np.where(counts[:, 0], origin_s, state.origin_s),
            since_s=_since(state.since_s, log_wealth, begun, self.run_length),
        )

    def apply(self, state: PitState, given: Forecast) -> list[DriftVerdict]:
        """One verdict per workload; statistic and threshold are decimal logarithms of wealth."""
        state.check_workloads(given)
        threshold = float(np.log10(self.run_length))
        evidence, leader = state.evidence(), state.log_wealth.argmax(axis=1)
        found = []
        for i, workload in enumerate(state.workloads):
            since = None if state.since_s[i] == NEVER else int(state.since_s[i])
            what = BETS[leader[i]][2] if since is not None else "forecasts agree with outcomes"
            reason = (
                f"{what}: evidence 10^{evidence[i]:.1f}, the limit is 10^{threshold:.1f} "
                f"({int(state.n_tested[i])} forecasts tested)"
            )
            found.append(
                DriftVerdict(workload, PIT, max(float(evidence[i]), 0.0), threshold, since, reason)
            )
        return found

    def from_dicts(
        self, workloads: Sequence[str], stored: Mapping[str, Mapping[str, Any]]
    ) -> PitState:
        """State of `workloads`; one that is not stored, or has other bettors, starts empty."""
        return self.empty_state(workloads).with_stored(stored)


def _since(since_s: I64, log_wealth: F64, begun_s: I64, run_length: float) -> I64:
    """Drift begins at the alarm, and ends when the evidence has lost half its digits."""
    mean = _log_mean(log_wealth)
    leader = log_wealth.argmax(axis=1)
    start = np.take_along_axis(begun_s, leader[:, None], axis=1)[:, 0]
    begins = (since_s == NEVER) & (mean >= np.log(run_length))
    ends = mean < np.log(run_length) / 2
    return np.where(begins, start, np.where(ends, NEVER, since_s)).astype(np.int64)


def pit_values(forecast: Forecast, actual: F32, ahead: int, within: F64 | float) -> F64:
    """PIT value of what happened `ahead` steps after each origin, `(B,)` in (0, 1).

    Where several quantiles equal the outcome (a demand of exactly zero), the distribution has an
    atom there and the value is drawn from the levels that it spans.

    Args:
        forecast: B forecasts as they were issued.
        actual: `(B, H)` raw demand.
        ahead: Step ahead, 1..H.
        within: `(B,)` or one number in [0, 1], position inside an atom: uniform random numbers make
            a right forecast's values exactly uniform, 0.5 is the mid-rank.

    Raises:
        HorizonError: If `ahead` is not in 1..H.
    """
    if not 1 <= ahead <= forecast.horizon:
        raise HorizonError(f"ahead={ahead} must be in 1..{forecast.horizon}")
    levels = forecast.quantile_levels
    quantiles, y = forecast.quantiles[:, :, ahead - 1], actual[:, ahead - 1]
    n_below = (quantiles < y[:, None]).sum(axis=1)
    n_upto = (quantiles <= y[:, None]).sum(axis=1)
    edges = np.concatenate([[0.0], levels, [1.0]])
    # An atom at the outermost quantile takes what lies beyond it: nothing is known to be there.
    low = np.where(n_below == 0, 0.0, edges[np.minimum(n_below + 1, levels.size)])
    high = np.where(n_upto == levels.size, 1.0, edges[n_upto])
    with np.errstate(over="ignore"):  # beyond a forecast without spread: infinitely far out
        smooth, _ = pit_and_log_density(quantiles[:, :, None], levels, y[:, None])
    value = np.where(n_upto - n_below >= 2, low + (high - low) * within, smooth[:, 0])
    return np.asarray(np.clip(value, 1e-12, 1 - 1e-12), dtype=np.float64)
