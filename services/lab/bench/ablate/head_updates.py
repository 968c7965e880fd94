"""The model with its head updated every six hours, as the forecasting service does.

The service also refits once a day, which starts from new; the benchmark's model stays as it was
trained, so an update has more to gain here than there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from forecaster.choice.backtest import MODEL, Gate, backtest
from forecaster.choice.baselines import POOLS, Baseline
from forecaster.errors import ForecasterError
from forecaster.features import gather_windows
from forecaster.predict import TrainedModel
from forecaster.training.adapt import AdaptConfig, update_model
from forecaster.types import Predictor, Series
from services.forecasting.training.adapt import HELD_HORIZONS, adapt_config
from services.kernel.clock import make_rng
from services.kernel.settings import Settings
from services.lab.bench.ablate.forecast_arms import HARMONY, Parts, issued, learner_quantiles
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import Tell
from services.lab.bench.forecast.own_arms import CHUNK
from services.simulator.fleet.arrays import F32Array

MAX_UPDATES = 8
"""Most updates tried on a trace: where six hours make more of them, they come less often."""


def updated_quantiles(
    task: DecideTask, parts: Parts, model: TrainedModel, seed: int, tell: Tell
) -> tuple[F32Array, dict[str, Any]]:
    """(R, Q, H) quantiles issued with updates of the head, and how many were tried and kept."""
    settings = Settings(seed=seed)
    bench, step_s = task.forecast, int(task.course.step_s)
    n_counted = task.course.n_steps - task.n_prelude
    every = max(round(settings.adapt_interval_s / step_s), -(-n_counted // MAX_UPDATES))
    config = adapt_config(settings, step_s)
    stops = np.array(bench.validation_ends)
    step = parts.replayed.position + 1 - stops[parts.replayed.which]
    n_judged = parts.judged.which.size
    learner = parts.learners[HARMONY.learner].copy()
    now, n_tried, n_kept = model, 0, 0
    for start in range(every, n_counted, every):
        tell(f"head update {n_tried + 1}, {n_kept} kept")
        heads = [
            s.head(min(stop + start, s.n_steps))
            for s, stop in zip(bench.series, stops, strict=True)
        ]
        recent = [_newest(s, settings.fit_max_steps) for s in heads]
        after = _updated(now, recent, config, seed)
        n_tried += 1
        if after is not now:
            now, n_kept = after, n_kept + 1
        if now is model:
            continue
        rows = np.flatnonzero((step >= start) & (step < start + every))
        for first in range(0, rows.size, CHUNK):
            at = rows[first : first + CHUNK]
            own = parts.replayed.take(at)
            windows = gather_windows(bench.series, own.which, own.position, bench.window)
            learner[n_judged + at] = learner_quantiles(now, windows)[0][HARMONY.learner][:, None]
    changed = replace(parts, learners={**parts.learners, HARMONY.learner: learner})
    figures = {"every_steps": every, "tried": n_tried, "kept": n_kept}
    return issued(bench, changed, HARMONY, model), figures


def _updated(
    model: TrainedModel, series: list[Series], config: AdaptConfig, seed: int
) -> TrainedModel:
    """The model after an update that scored better on steps it has not learned from."""
    n_held = HELD_HORIZONS * model.config.window.horizon
    heads = [s.head(max(s.n_steps - n_held, 0)) for s in series]
    try:
        result = update_model(model, heads, config, seed)
        if not result.is_updated:
            return model
        new, old = (_gate(series, one, n_held, seed) for one in (result.model, model))
    except ForecasterError:
        # The service keeps its model too, for example where nothing was observed of late.
        return model
    return result.model if new.skill > old.skill else model


def _gate(series: list[Series], model: TrainedModel, n_last: int, seed: int) -> Gate:
    window = model.config.window
    simple: dict[str, Predictor] = {name: Baseline(name, window) for name in POOLS}
    rng = make_rng(seed, "adapt", model.version)
    return backtest(series, {MODEL: model, **simple}, model.config, rng, n_last=n_last)


def _newest(series: Series, n_steps: int) -> Series:
    """The newest steps of a history."""
    first = max(series.n_steps - n_steps, 0)
    return replace(
        series,
        start_s=series.start_s + first * series.step_s,
        values=series.values[first:],
        observed=series.observed[first:],
    )
