"""What forecasts in a back-test: the ladder that serves, chosen on the history alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from forecaster import (
    MODEL,
    BestSimple,
    FitProgress,
    ForecasterConfig,
    ForecasterError,
    HistoryTooShort,
    Ladder,
    Series,
    TrainedModel,
    compare,
    fit,
)
from services.backtest.series import MeasuredFleet
from services.forecasting.registry.shipped import shipped_prior
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.training.histories import held_out_steps
from services.forecasting.training.verdict import judge_fit
from services.kernel.clock import make_rng
from services.kernel.settings import Settings
from services.simulator import HistoryRun
from services.simulator.fleet import Fleet
from services.simulator.fleet.meters import ServiceMeters


@dataclass(frozen=True, slots=True)
class Trained:
    """Predictors ready to serve.

    Attributes:
        ladder: The predictors.
        config: Their configuration.
        reason: Which they are and why, in words.
    """

    ladder: Ladder
    config: ForecasterConfig
    reason: str


@dataclass(frozen=True, slots=True)
class Untrained:
    """What a service forecasts with before its first fit; by default as it is shipped.

    Attributes:
        config: Configuration of the forecaster.
        prior: Answers where no model does; None: it is switched off.
        stale_after_steps: Steps without demand after which input is stale.
    """

    config: ForecasterConfig = field(default_factory=ForecasterConfig)
    prior: TrainedModel | None = field(default_factory=shipped_prior)
    stale_after_steps: int = 3

    @classmethod
    def of(cls, settings: Settings) -> Untrained:
        """As a process with these settings serves."""
        config, prior = forecaster_config(settings), shipped_prior() if settings.has_prior else None
        if prior is not None and prior.config.window != config.window:
            prior = None  # it reads windows of one shape; the service leaves it out, too
        return cls(config, prior, settings.stale_after_steps)

    def ladder(self, picks: dict[str, str], simple_only: Sequence[str] = ()) -> Ladder:
        """The ladder without a model.

        Args:
            picks: Workload to the simple forecaster that stands by.
            simple_only: Workloads that it answers in place of the prior.
        """
        return Ladder(
            None,
            BestSimple(picks, self.config.window),
            stale_after_steps=self.stale_after_steps,
            prior=self.prior,
            simple_only=frozenset(simple_only),
        )


def pick(fleet: Fleet, history: HistoryRun, untrained: Untrained, *, seed: int) -> Trained:
    """Train nothing: choose among the prior and the simple forecasters on the history's end.

    The steps are those that a fit holds out, and the rule is that of a fit whose model serves
    nobody, so this is what such a service answers with.

    Args:
        fleet: Only its history is read.
        history: Allocation in the history.
        untrained: What there is to choose from.
        seed: For paths, which enter no choice.
    """
    series = _series(fleet, history)
    config, prior = untrained.config, untrained.prior
    rival = prior or BestSimple({}, config.window)
    n_held = held_out_steps(series, config)
    try:
        found = compare(series, rival, config, make_rng(seed, "pick"), n_last=n_held)
    except HistoryTooShort as error:
        return Trained(untrained.ladder({}), config, f"nothing was trained or chosen: {error}")
    default = untrained.ladder({}).simple.default
    picks = {one.workload: found.best_simple(one.workload, default) for one in series}
    simple_only = found.simple_only(MODEL) if prior is not None else []
    ladder = untrained.ladder(picks, simple_only)
    return Trained(ladder, config, _reason(ladder, len(series)))


def _reason(ladder: Ladder, n_workloads: int) -> str:
    """Who answers, as a study's first line says it."""
    chosen = "chosen on the history's end; nothing was trained"
    simple = "the best simple forecaster of each workload"
    n_prior = 0 if ladder.prior is None else n_workloads - len(ladder.simple_only)
    if n_prior == 0:
        return f"{simple}, {chosen}"
    if n_prior == n_workloads:
        return f"the prior, {chosen}"
    return f"the prior for {n_prior} of {n_workloads} workloads, else {simple}, {chosen}"


def train(
    fleet: Fleet,
    history: HistoryRun,
    untrained: Untrained | None = None,
    *,
    seed: int,
    on_progress: Callable[[FitProgress], bool] | None = None,
) -> Trained:
    """Train on the history but for its end, judge on its end, as a service's first fit.

    Args:
        fleet: Only its history is read.
        history: Allocation in the history (closed-loop indicators follow from it).
        untrained: What the fit begins with and has to beat; default: as shipped.
        seed: Seed of weights and batches.
        on_progress: Called per epoch; false stops the training.
    """
    untrained = untrained or Untrained()
    config, prior = untrained.config, untrained.prior
    series = _series(fleet, history)
    n_held = held_out_steps(series, config)
    fitted = [s.head(s.n_steps - n_held) for s in series]
    try:
        result = fit(fitted, config, seed, prior=prior, on_progress=on_progress)
        verdict = judge_fit(series, result, None, n_held, seed, prior)
    except ForecasterError as error:
        found = pick(fleet, history, untrained, seed=seed)
        return replace(found, reason=f"no model ({error}): {found.reason}")
    simple_only = verdict.metrics.get("simple_only", ())
    ladder = untrained.ladder(dict(verdict.metrics["picks"]), simple_only)
    if verdict.is_better:
        ladder = replace(ladder, model=result.model)
    return Trained(ladder, config, verdict.reason)


def without_model(trained: Trained) -> Trained:
    """The same with the best simple forecasters alone."""
    ladder = replace(trained.ladder, model=None, prior=None)
    return replace(trained, ladder=ladder, reason="best simple forecaster")


def _series(fleet: Fleet, history: HistoryRun) -> list[Series]:
    measured = MeasuredFleet(fleet, ServiceMeters(fleet, history.ready_mean))
    return measured.series(fleet.n_history)
