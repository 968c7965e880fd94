"""The trust gate: a model must earn its place against the trailing percentile, in money.

Each look compares both arms (`decider.trust.score`) and takes in the blocks that are new since the
last one. Two things must hold before the verdict changes, with at least `min_blocks` since it last
did.

* Evidence: an e-process by betting on the blocks' differences, with restarts so that a good past
  does not hide a bad present. With `x` the difference less what is tolerated, stakes
  `w_s = 1 / ((s + 1)(s + 2))` begin with block s, and every later block multiplies them by
  `exp(bet * x) / cosh(bet * x) = 2 / (1 + exp(-2 * bet * x))`. If, given the past, differences are
  symmetric about a value within the tolerance (as they are for equal policies) that factor's mean
  is at most 1, whatever their spread (the martingale of symmetric variables: de la Pena 1999,
  Ramdas and others 2020). So by Ville's inequality the sum ever reaches `1 / demote_error` with
  probability at most `demote_error`, however often one looks. One block at most doubles a stake,
  and one large saving takes most of it: the bets are small enough to weigh, not to count signs.
* Steadiness: the mean of the last differences over its standard error is above a bound. This is
  what keeps a model whose losses are small and usual, its savings large and rare.

A model that was demoted is judged the other way round, against a wider tolerance (hysteresis) and
with less evidence asked: trusting it again wrongly costs a few blocks, until the next demotion.
Prices differ from block to block; the difference of losses is relative, so it needs no scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from decider.config import FallbackConfig, TrailingRule
from decider.errors import require
from decider.trust.score import (
    ArmComparison,
    ArmScore,
    BlockConfig,
    BlockScore,
    TrustCase,
    compare_arms,
)


@dataclass(frozen=True, slots=True)
class TrustConfig:
    """Settings of the gate.

    Attributes:
        tolerance: Relative difference up to which a trusted model is no worse; a difference of 0.01
            is a loss about 2 % higher.
        return_tolerance: The same for a model that wants its place back.
        bets: How steeply a block's difference counts; the stakes are split among them. A difference
            far below 1 / bet counts in proportion, one far above it doubles the stake.
        demote_error: Chance of ever demoting a model that is no worse.
        return_error: Chance of ever trusting again a model that is worse.
        demote_t: Mean over standard error that a demotion needs.
        return_t: The same for a return.
        min_blocks: Blocks since the last change that a change needs.
        n_recent: Newest blocks that the mean is taken over.
        blocks: How steps are cut into blocks.
    """

    tolerance: float = 0.01
    return_tolerance: float = 0.02
    bets: tuple[float, ...] = (2.0, 8.0)
    demote_error: float = 0.05
    return_error: float = 0.25
    demote_t: float = 2.0
    return_t: float = 1.0
    min_blocks: int = 5
    n_recent: int = 14
    blocks: BlockConfig = field(default_factory=BlockConfig)

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(bool(self.bets) and all(b > 0 for b in self.bets), f"bets={self.bets} must be > 0")
        for name in ("demote_error", "return_error"):
            require(0 < getattr(self, name) < 1, f"{name}={getattr(self, name)} must be in (0, 1)")
        require(self.min_blocks >= 2, f"min_blocks={self.min_blocks} must be >= 2")


@dataclass(frozen=True, slots=True)
class TrustState:
    """Memory of the gate between looks.

    Attributes:
        is_trusted: The verdict in force.
        n_looks: Looks so far.
        n_blocks: Blocks taken in since the verdict last changed.
        stakes: Evidence against the verdict in force, by bet; their sum is compared.
        recent: Newest differences since then, oldest first.
        until_s: End of the last block taken in: each counts once.
    """

    is_trusted: bool = True
    n_looks: int = 0
    n_blocks: int = 0
    stakes: tuple[float, ...] = ()
    recent: tuple[float, ...] = ()
    until_s: float = 0.0

    @property
    def evidence(self) -> float:
        """Value of the e-process against the verdict in force."""
        return sum(self.stakes)


@dataclass(frozen=True, slots=True)
class TrustScores:
    """Figures of a look; those of the arms are means over the scored steps of its past.

    Attributes:
        model: Replicas and violation of the model's counts.
        trailing: The same of the trailing percentile's.
        price: Mean price of a step out of SLA, in replica-steps.
        n_blocks: Blocks that the arms were scored on.
        n_steps: Their steps.
        mean_difference: Mean of the recent differences of the losses over their sum.
        t: The same over its standard error.
        evidence: Value of the e-process against the verdict that was in force.
    """

    model: ArmScore
    trailing: ArmScore
    price: float
    n_blocks: int
    n_steps: int
    mean_difference: float
    t: float
    evidence: float


@dataclass(frozen=True, slots=True)
class TrustVerdict:
    """Result of a look.

    Attributes:
        is_trusted: The forecast answers.
        reason: In words, with both costs and both rates.
        scores: Figures; None where nothing could be compared.
        rule: Setting of the trailing percentile that fits best now; None where unknown.
        state: Memory for the next look.
    """

    is_trusted: bool
    reason: str
    scores: TrustScores | None
    rule: TrailingRule | None
    state: TrustState


def judge_model(
    case: TrustCase,
    state: TrustState,
    rules: tuple[TrailingRule, ...],
    fallback: FallbackConfig,
    config: TrustConfig,
) -> TrustVerdict:
    """Look at a workload's past: does its model earn its place?

    Args:
        case: The past; may overlap what earlier looks have seen.
        state: Memory of the looks before.
        rules: Settings that the trailing percentile may have.
        fallback: Settings of the ladder that the trailing percentile stands on.
        config: Settings of the gate.
    """
    found = compare_arms(case, rules, fallback, config.blocks)
    seen = replace(state, n_looks=state.n_looks + 1)
    for block in found.blocks:
        if block.end_s > state.until_s + 1e-6:
            seen = take_in(seen, block, config)
    scores = _scores(found, seen)
    if scores is None:
        return TrustVerdict(
            seen.is_trusted, _too_early(found, seen, config), None, found.rule, seen
        )
    if not is_clear(seen, config):
        reason = _reason(scores, found.rule, _unchanged_words(seen, config))
        return TrustVerdict(seen.is_trusted, reason, scores, found.rule, seen)
    changed = replace(seen, is_trusted=not seen.is_trusted, n_blocks=0, stakes=(), recent=())
    words = "no longer clearly worse, trusted again" if changed.is_trusted else "clearly worse"
    reason = _reason(scores, found.rule, words)
    return TrustVerdict(changed.is_trusted, reason, scores, found.rule, changed)


def take_in(state: TrustState, block: BlockScore, config: TrustConfig) -> TrustState:
    """Bet on one block against the verdict in force."""
    gap = block.difference
    x = gap - config.tolerance if state.is_trusted else config.return_tolerance - gap
    begun = 1.0 / ((state.n_blocks + 1) * (state.n_blocks + 2) * len(config.bets))
    stakes = state.stakes or (0.0,) * len(config.bets)
    return replace(
        state,
        n_blocks=state.n_blocks + 1,
        stakes=tuple(
            (stake + begun) * 2.0 / (1.0 + math.exp(-2.0 * bet * x))
            for stake, bet in zip(stakes, config.bets, strict=True)
        ),
        recent=(*state.recent, block.difference)[-config.n_recent :],
        until_s=block.end_s,
    )


def is_clear(state: TrustState, config: TrustConfig) -> bool:
    """The evidence against the verdict in force suffices to change it."""
    if state.n_blocks < config.min_blocks:
        return False
    error = config.demote_error if state.is_trusted else config.return_error
    bound = config.demote_t if state.is_trusted else config.return_t
    tolerated = config.tolerance if state.is_trusted else config.return_tolerance
    t = _t_statistic([d - tolerated for d in state.recent])
    return state.evidence >= 1.0 / error and (t if state.is_trusted else -t) > bound


def _t_statistic(differences: list[float]) -> float:
    """Mean over its standard error; infinite where every difference is the same, but for 0."""
    n = len(differences)
    if n < 2:
        return 0.0
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    if variance <= 1e-24:
        return math.copysign(math.inf, mean) if abs(mean) > 1e-12 else 0.0
    return mean / math.sqrt(variance / n)


def _scores(found: ArmComparison, state: TrustState) -> TrustScores | None:
    n_steps = sum(b.n_steps for b in found.blocks)
    if n_steps == 0:
        return None

    def mean(values: list[float]) -> float:
        weighted = zip(values, found.blocks, strict=True)
        return sum(v * b.n_steps for v, b in weighted) / n_steps

    model, trailing = (
        ArmScore(mean([a.replicas for a in arms]), mean([a.violation for a in arms]))
        for arms in ([b.model for b in found.blocks], [b.trailing for b in found.blocks])
    )
    recent = list(state.recent)
    return TrustScores(
        model,
        trailing,
        mean([b.price for b in found.blocks]),
        len(found.blocks),
        n_steps,
        sum(recent) / len(recent) if recent else 0.0,
        _t_statistic(recent),
        state.evidence,
    )


def _reason(scores: TrustScores, rule: TrailingRule | None, words: str) -> str:
    """Both costs and both rates, and what follows."""
    name = "the trailing percentile"
    if rule is not None:
        name += f" (now p{100 * rule.percentile:g} of {rule.window_steps} steps"
        name += f", +{100 * rule.margin_ratio:g} %)"
    return (
        f"the model's counts took {scores.model.replicas:.2f} replicas with "
        f"{100 * scores.model.violation:.2f} % out of SLA, those of {name} "
        f"{scores.trailing.replicas:.2f} with {100 * scores.trailing.violation:.2f} %, over "
        f"{scores.n_blocks} blocks at {scores.price:.0f} replica-steps per step out of SLA: {words}"
    )


def _unchanged_words(state: TrustState, config: TrustConfig) -> str:
    if state.n_blocks < config.min_blocks:
        return f"{state.n_blocks} of {config.min_blocks} blocks since the last change, as before"
    return "not clearly worse" if state.is_trusted else "still not clearly as good"


def _too_early(found: ArmComparison, state: TrustState, config: TrustConfig) -> str:
    needed = config.blocks.n_first + config.min_blocks
    kept = "trusted until then" if state.is_trusted else "still not trusted"
    return f"{found.n_usable} of {needed} blocks with enough known steps to compare, {kept}"
