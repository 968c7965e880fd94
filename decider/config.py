"""Settings of the decision stage. Defaults are what the service runs with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from decider.errors import InvalidConfig


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidConfig(message)


@dataclass(frozen=True, slots=True)
class RiskControlConfig:
    """Feedback from measured violations to the risk level in use.

    Attributes:
        aim_ratio: Share of epsilon aimed at, in (0, 1]; the rest is a margin for late feedback.
        gain: Least change of the logarithm of the risk level per step of relative error
            `(epsilon - violation) / epsilon` (adaptive conformal step size).
        word_worth: Violations that the forecast's own word is worth: the change is larger while
            less than these and what was promised since is known. Infinite: never larger.
        unspent_word_worth: The same of upward changes while requests that were measured missed less
            than promised: a step counts many.
        max_drop: Largest fall of the log level in one step, so that one bad step is not ruin.
        pacing_gain: Weight of the budget's pace (integral part).
        pacing_steps: Steps over which an error of pace is to be worked off.
        multiplier_gain: Least change of the multiplier's logarithm per decision and relative error
            of its estimated risk.
        first_multiplier_gain: The change before any step of the pools of a service with a promise
            of requests is known; it is half of this after ten, and falls on to the least.
        max_risk_ratio: Largest estimated risk, in levels, that one decision is counted with there.
        min_level_ratio: Lowest level in use, as a share of epsilon.
        max_level_ratio: Highest level in use, as a multiple of epsilon.
        max_level: Highest level in use, absolute.
    """

    aim_ratio: float = 0.97
    gain: float = 0.0005
    word_worth: float = 5.0
    unspent_word_worth: float = 1.0
    max_drop: float = 0.5
    pacing_gain: float = 0.1
    pacing_steps: float = 288.0
    multiplier_gain: float = 0.03
    first_multiplier_gain: float = 0.2
    max_risk_ratio: float = 4.0
    min_level_ratio: float = 0.05
    max_level_ratio: float = 8.0
    max_level: float = 0.3

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(0 < self.aim_ratio <= 1, f"aim_ratio={self.aim_ratio} must be in (0, 1]")
        _require(self.gain >= 0, f"gain={self.gain} must be >= 0")
        for name in ("word_worth", "unspent_word_worth"):
            _require(getattr(self, name) > 0, f"{name}={getattr(self, name)} must be > 0")
        _require(0 < self.min_level_ratio <= 1, "min_level_ratio must be in (0, 1]")
        _require(self.max_level_ratio >= 1, "max_level_ratio must be >= 1")
        _require(0 < self.max_level < 1, "max_level must be in (0, 1)")
        _require(self.pacing_steps > 0, "pacing_steps must be > 0")


@dataclass(frozen=True, slots=True)
class FallbackConfig:
    """The ladder that answers when the forecast cannot.

    Attributes:
        forecast_max_age_steps: A forecast up to this old (in steps, beyond its own step) is used
            shifted; an older one is not.
        stale_after_s: Demand last observed longer ago than this is unknown.
        last_demand_s: The last demand is the mean over so many seconds, where steps are shorter: of
            a few seconds it is mostly chance, which no start comes in time for.
        rise_deviations: Where the newest of these steps lie above that mean by more than so many
            standard deviations, as single steps scatter, it is what they show beyond them: a burst
            is not waited for. Infinite: it always is.
        n_scatter: Steps before these that tell how single steps scatter.
        percentile: Percentile of the recent demand that the trailing rung sizes for, in [0, 1].
        margin_ratio: Headroom of the trailing and reactive rungs over the load.
        min_observed: Observed steps that the trailing rung needs.
    """

    forecast_max_age_steps: int = 3
    stale_after_s: float = 900.0
    last_demand_s: float = 60.0
    rise_deviations: float = 2.5
    n_scatter: int = 20
    percentile: float = 0.98
    margin_ratio: float = 0.1
    min_observed: int = 12

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(0 <= self.percentile <= 1, f"percentile={self.percentile} must be in [0, 1]")
        _require(self.margin_ratio >= 0, "margin_ratio must be >= 0")
        _require(self.forecast_max_age_steps >= 0, "forecast_max_age_steps must be >= 0")
        _require(self.stale_after_s > 0, "stale_after_s must be > 0")
        _require(
            0 < self.last_demand_s < math.inf,
            f"last_demand_s={self.last_demand_s} must be finite and > 0",
        )
        _require(self.rise_deviations >= 0, f"rise_deviations={self.rise_deviations} must be >= 0")
        _require(self.n_scatter >= 2, f"n_scatter={self.n_scatter} must be >= 2")

    def averaged_steps(self, step_s: float) -> int:
        """Newest steps that the last demand is the mean of."""
        return max(1, round(self.last_demand_s / step_s))

    def looked_at_steps(self, step_s: float) -> int:
        """Newest steps that the last demand follows from."""
        n_steps = self.averaged_steps(step_s)
        return n_steps if n_steps == 1 else n_steps + self.n_scatter


@dataclass(frozen=True, slots=True)
class TrailingRule:
    """Setting of a trailing percentile: what it asks for holds the percentile and the last step.

    Attributes:
        window_steps: Steps that the percentile is taken over.
        percentile: Percentile of the observed demand, in [0, 1].
        margin_ratio: Headroom over the load.
    """

    window_steps: int
    percentile: float
    margin_ratio: float

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        _require(self.window_steps >= 1, f"window_steps={self.window_steps} must be >= 1")
        _require(0 <= self.percentile <= 1, f"percentile={self.percentile} must be in [0, 1]")
        _require(self.margin_ratio >= 0, f"margin_ratio={self.margin_ratio} must be >= 0")


REVISION = 8
"""Of the tables and prices that decisions are made by; inputs are stored with it."""


@dataclass(frozen=True, slots=True)
class ChangeCosts:
    """What changes of a count cost.

    Attributes:
        start: Of one start, in replica-steps.
        stop: Of one stop, in replica-steps.
    """

    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class DecideConfig:
    """Everything that shapes a decision besides its inputs.

    The price of risk is carried from decision to decision and moved until their mean risk is the
    level, so that risk is taken when it saves most; the first price is found by bisection.

    Attributes:
        shortage_price_ratio: Price of one replica's worth of unserved load for a step, in
            replica-steps. It keeps the planner serving when the SLA is out of reach anyway.
        start_cost_steps: Cost of one start in replica-steps.
        stop_cost_steps: Cost of one stop in replica-steps.
        change_cost_step_s: Both are of a step of at least so long: a replica that comes or goes
            costs no less because decisions are made every few seconds.
        first_step_ratio: One decision may carry at most this many risk levels.
        n_multipliers: Size of the multiplier grid.
        n_bisections: Bisection steps after the grid.
        max_multiplier: Largest multiplier tried, in replica-steps per step out of SLA.
        max_candidates: Size of the candidate grid; of wider ranges it lies around what is chosen.
        n_pairs: Pairs of a capacity draw and a spread factor that each demand path is taken with.
        spread_sigma: Standard deviation of the logarithm of the spread factor: a path's distance
            from the mean is scaled by it, since a few hundred paths say little about what lies
            beyond the largest of them; 0 takes the paths as they are.
        response_spread_sigma: The same where a response is known. It has no edge, so that what lies
            a little beyond the largest path counts by itself: paths are taken as they are.
        reactive_floor_ratio: The last observed demand, times this, must fit; 0 switches it off.
        max_backlog_steps: What waits counts for at most this many steps of demand; 0: queues are
            not remembered. By one, a queue never more than doubles what is to be served: it is
            worked off about as fast as it came, and a service that is dead does not ask for its
            maximum for ever. Who has waited for longer has mostly given up; a retry arrives anew.
        consolidation_ratio: Utilisation that the last observed demand may bring a smaller set to;
            0 switches that guard off.
        epsilons: Other risk levels to answer in the explanation.
        fallback: The ladder's settings.
        risk: The risk control's settings.
        revision: Of the tables, prices and guards. 1: as before docs/decisions/0108 and 0109, 2: as
            before 0114, 3: as before 0121 and 0125, 4: as before 0135, 5: as before GPUs without a
            price were counted in mixes and held mixes kept the maximum, 6: as before 0141, 7: as
            before 0147; it is no choice, but what an earlier decision was made by and is made again
            by.
    """

    shortage_price_ratio: float = 2.0
    start_cost_steps: float = 0.5
    stop_cost_steps: float = 0.5
    change_cost_step_s: float = 60.0
    first_step_ratio: float = 10.0
    n_multipliers: int = 14
    n_bisections: int = 6
    max_multiplier: float = 1e5
    max_candidates: int = 64
    n_pairs: int = 3
    spread_sigma: float = 0.5
    response_spread_sigma: float = 0.0
    reactive_floor_ratio: float = 1.0
    max_backlog_steps: float = 1.0
    consolidation_ratio: float = 1.0
    epsilons: tuple[float, ...] = (0.001, 0.01, 0.05, 0.1)
    fallback: FallbackConfig = field(default_factory=FallbackConfig)
    risk: RiskControlConfig = field(default_factory=RiskControlConfig)
    revision: int = REVISION

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(
            1 <= self.revision <= REVISION,
            f"revision={self.revision} must be from 1 to {REVISION}: a later release decided so",
        )
        _require(self.shortage_price_ratio >= 0, "shortage_price_ratio must be >= 0")
        _require(self.start_cost_steps >= 0, "start_cost_steps must be >= 0")
        _require(self.stop_cost_steps >= 0, "stop_cost_steps must be >= 0")
        _require(
            0 <= self.change_cost_step_s < math.inf,
            f"change_cost_step_s={self.change_cost_step_s} must be finite and >= 0",
        )
        _require(self.first_step_ratio >= 1, "first_step_ratio must be >= 1")
        _require(self.max_candidates >= 4, f"max_candidates={self.max_candidates} must be >= 4")
        _require(self.n_multipliers >= 2, "n_multipliers must be >= 2")
        _require(self.n_pairs >= 1, f"n_pairs={self.n_pairs} must be >= 1")
        _require(self.spread_sigma >= 0, f"spread_sigma={self.spread_sigma} must be >= 0")
        soft = self.response_spread_sigma
        _require(soft >= 0, f"response_spread_sigma={soft} must be >= 0")
        _require(self.reactive_floor_ratio >= 0, "reactive_floor_ratio must be >= 0")
        _require(
            0 <= self.max_backlog_steps < math.inf,
            f"max_backlog_steps={self.max_backlog_steps} must be finite and >= 0",
        )
        _require(
            0 <= self.consolidation_ratio <= 1,
            f"consolidation_ratio={self.consolidation_ratio} must be in [0, 1]",
        )
        _require(all(0 < e < 1 for e in self.epsilons), "epsilons must lie in (0, 1)")

    def change_costs(self, step_s: float) -> ChangeCosts:
        """What a start and a stop cost in replica-steps of `step_s` seconds."""
        longer = max(1.0, self.change_cost_step_s / step_s)
        return ChangeCosts(self.start_cost_steps * longer, self.stop_cost_steps * longer)
