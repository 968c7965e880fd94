"""Update the promoted model on the newest steps, and promote the update when it is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forecaster.choice.backtest import MODEL, Gate, backtest
from forecaster.choice.baselines import POOLS, Baseline
from forecaster.config import DAY_S
from forecaster.errors import ForecasterError
from forecaster.predict import TrainedModel
from forecaster.training.adapt import AdaptConfig, AdaptResult, update
from forecaster.training.checkpoint import to_bytes
from forecaster.types import Predictor, Series
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online import repository as repository_drift
from services.forecasting.online.repository import ADAPTED_FROM
from services.forecasting.registry import repository as registry
from services.forecasting.registry.repository import ModelRow, NewModel
from services.forecasting.rows.translate import json_safe
from services.forecasting.training.histories import load_histories
from services.forecasting.training.memory import release_memory
from services.kernel import telemetry
from services.kernel.clock import make_rng
from services.kernel.db.session import unit_of_work
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger

BUSY, NO_MODEL, UNCHANGED = "busy", "no_model", "unchanged"
RECENT_DAYS = 3
HELD_HORIZONS = 4
"""Horizons of newest steps that judge the update; it learns from none of them."""


@dataclass(frozen=True, slots=True)
class AdaptOutcome:
    """Result of an update.

    Attributes:
        version: The new model's; empty where there is none.
        status: `promoted`, `shadow` or `failed`; `unchanged` where the update did not help,
            `no_model` where none is promoted, `busy` where a fit was running.
        reason: Why, with figures.
    """

    version: str
    status: str
    reason: str


def adapt_model(app: Forecasting) -> AdaptOutcome:
    """Update the promoted model's head on the newest steps of all active workloads.

    The update is registered as a model of its own, which inherits its parent's picks, calibration
    and input references, and serves only if it scores better on steps that it has not learned from.
    """
    with registry.fit_lock(app.engine) as is_mine:
        if is_mine:
            outcome = _adapted(app)
        else:
            outcome = AdaptOutcome("", BUSY, "a fit is running; its model will be newer still")
    release_memory()
    telemetry.model_adaptations_total.labels(outcome.status).inc()
    get_logger(__name__).info(
        "adapted", version=outcome.version, status=outcome.status, reason=outcome.reason
    )
    return outcome


def _adapted(app: Forecasting) -> AdaptOutcome:
    now = app.clock.now()
    with app.engine.connect() as connection:
        parent = registry.load_promoted(connection)
        model = app.store.current(connection).ladder.model
        if parent is None or model is None:
            return AdaptOutcome("", NO_MODEL, "no promoted model to update")
        series = load_histories(app, connection, now, model.config)
    try:
        return _judged(app, parent, model, series, now)
    except ForecasterError as error:
        return AdaptOutcome("", registry.FAILED, f"{type(error).__name__}: {error}")


def _judged(
    app: Forecasting, parent: ModelRow, model: TrainedModel, series: Sequence[Series], now: datetime
) -> AdaptOutcome:
    """Update on all but the newest steps, and compare both models on those."""
    n_held = HELD_HORIZONS * model.config.window.horizon
    heads = [s.head(max(s.n_steps - n_held, 0)) for s in series]
    config = adapt_config(app.settings, series[0].step_s if series else app.settings.step_s)
    result = update(model, heads, config, app.settings.seed)
    if not result.is_updated:
        return AdaptOutcome("", UNCHANGED, result.reason)
    new, old = (_gate(app, series, one, n_held) for one in (result.model, model))
    is_better = new.skill > old.skill
    reason = (
        f"adapted from {parent.version}: {result.reason}; back-test skill {new.skill:+.3f} on the "
        f"newest {n_held} steps, {parent.version} has {old.skill:+.3f}"
    )
    status = registry.PROMOTED if is_better else registry.SHADOW
    return _registered(app, parent, result, _metrics(parent, result, new), (status, reason), now)


def adapt_config(settings: Settings, step_s: int) -> AdaptConfig:
    """The last days, as far as they are a small part of the history."""
    newest = min(RECENT_DAYS * DAY_S // step_s, settings.fit_max_steps // 4)
    return AdaptConfig(recent_steps=max(newest, 2 * HELD_HORIZONS * settings.horizon_steps))


def _gate(app: Forecasting, series: Sequence[Series], model: TrainedModel, n_last: int) -> Gate:
    window = model.config.window
    simple: dict[str, Predictor] = {name: Baseline(name, window) for name in POOLS}
    rng = make_rng(app.settings.seed, "adapt", model.version)
    return backtest(series, {MODEL: model, **simple}, model.config, rng, n_last=n_last)


def _metrics(parent: ModelRow, result: AdaptResult, gate: Gate) -> dict[str, Any]:
    """The parent's verdicts per workload stay: a few newest steps are too few to overrule them."""
    before: Mapping[str, Any] = parent.metrics
    return {
        **before,
        ADAPTED_FROM: parent.version,
        "n_adapt_windows": result.n_windows,
        "n_adapt_replayed": result.n_replayed,
        "adapt_loss_before": result.loss_before,
        "adapt_loss_after": result.loss_after,
        "added": list(result.added),
        "backtest_crps": gate.crps_model,
        "backtest_crps_best_simple": gate.crps_simple,
        "backtest_skill": gate.skill,
        "rungs": {**gate.rungs, **before.get("rungs", {})},
        "reasons": {**gate.reasons, **before.get("reasons", {})},
    }


def _registered(
    app: Forecasting,
    parent: ModelRow,
    result: AdaptResult,
    metrics: dict[str, Any],
    verdict: tuple[str, str],
    now: datetime,
) -> AdaptOutcome:
    """Store the update; it serves if its parent still does."""
    status, reason = verdict
    model = result.model
    row = NewModel(
        model.version,
        registry.SHADOW,
        reason,
        model.config.to_dict(),
        json_safe(metrics),
        to_bytes(model),
    )
    with unit_of_work(app.engine) as work:
        model_id = registry.insert_model(work.connection, row, now)
        if model_id is None:
            return AdaptOutcome(model.version, UNCHANGED, f"{model.version} is registered already")
        repository_drift.inherit_states(work.connection, parent.version, model.version, now)
        serving = registry.load_promoted(work.connection)
        if status == registry.PROMOTED and (serving is None or serving.id != parent.id):
            status, reason = registry.SHADOW, f"{reason}; {parent.version} serves no longer"
        if status == registry.PROMOTED:
            registry.set_promoted(work.connection, model_id, reason, now)
    return AdaptOutcome(model.version, status, reason)
